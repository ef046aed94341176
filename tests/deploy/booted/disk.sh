#!/bin/sh
# The disk of machine.py: this machine's, with a layer in memory over it; a device as install.md
# has it before anything of ours is there. Run in mount namespaces of its own; its end is the disk's.
# FOLDER, PORT, and of Python PREFIX, PACKAGES and SEEN (where PACKAGES go below PREFIX).
set -eu
disk=$FOLDER/disk
written=$FOLDER/written
mount -t tmpfs -o mode=755 tmpfs "$written"

layered() { # LOWER PLACE NAME
  mkdir -p "$written/$3/up" "$written/$3/work" "$2"
  mount -t overlay overlay "$2" \
    -o "lowerdir=$1,upperdir=$written/$3/up,workdir=$written/$3/work"
}

layered / "$disk" disk
rm -rf "$disk"/etc/systemd/system/*.wants "$disk/etc/leuko-edge" "$disk/opt/leukoedge"

# Python and what JetPack would have: everything but LeukoEdge. Its library is found here by
# users who may not enter where it lies on this machine.
layered "$PREFIX" "$disk/opt/python" python
layered "$PACKAGES" "$disk/opt/python/$SEEN" packages
(cd "$disk/opt/python/$SEEN" && rm -rf ./*leukoedge* ./*.pth)
echo /opt/python/lib >"$disk/etc/ld.so.conf.d/00-python.conf"
chroot "$disk" ldconfig

# Nothing but sshd and systemd's own runs.
units=$disk/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
for unit in console-getty.service dbus.service dbus.socket getty.target mosquitto.service \
  postgresql.service systemd-logind.service systemd-networkd.service systemd-networkd.socket \
  systemd-resolved.service systemd-sysctl.service systemd-timesyncd.service \
  systemd-udevd.service; do
  ln -sf /dev/null "$units/$unit"
done
ln -sf /lib/systemd/system/ssh.service "$units/multi-user.target.wants/"
echo microscope >"$disk/etc/hostname"
echo 127.0.1.1 microscope >>"$disk/etc/hosts"

# As install.md has it.
chroot "$disk" useradd --create-home --no-user-group --password '*' operator
echo 'operator ALL=(ALL) NOPASSWD: ALL' >"$disk/etc/sudoers.d/operator"
mkdir "$disk/home/operator/.ssh"
cp "$FOLDER/operator.pub" "$disk/home/operator/.ssh/authorized_keys"
chroot "$disk" chown -R operator /home/operator/.ssh
cp "$FOLDER/host_key" "$disk/etc/ssh/host_key"
cat >"$disk/etc/ssh/sshd_config" <<END
ListenAddress 127.0.0.1
Port $PORT
HostKey /etc/ssh/host_key
UsePAM no
PasswordAuthentication no
PermitRootLogin no
Subsystem sftp internal-sftp
END
echo ready
exec sleep infinity
