# Everything a newcomer or CI calls. Each target does its own set-up, on a machine with nothing but
# Python and make; what is already in place is not done again.
#
#   make demo      three simulated microscopes, live on the central dashboard
#   make test      what CI runs
#
# PYTHON names the interpreter that .venv is made from; LEUKO_DATA the folder of real data.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PACKAGES := edge_daemon trainer exporter deploy tests

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests start the daemon hundreds of times; without bytecode each start compiles 400 modules.
unexport PYTHONDONTWRITEBYTECODE

# Hospital networks often inspect TLS: trust what the machine trusts, where it says so.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

# uv is fast and links from its cache; where it cannot reach an index, pip can, because only pip
# reads the mirror and the certificate of pip.conf. Both check every hash.
UV      := VIRTUAL_ENV=$(VENV) $(BIN)/uv
install  = $(UV) pip install --quiet --require-hashes -r $(1) \
	|| $(BIN)/python -m pip install --quiet --require-hashes -r $(1)

# $(call debian,PACKAGE,PURPOSE): install a Debian package, or say in one line who has to.
debian = \
	if [ "$$(id -u)" = 0 ]; then sudo=; \
	elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	else echo "$(2): ask an administrator for 'apt-get install $(1)'" >&2; exit 1; fi; \
	echo "installing the Debian package $(1) ($(2))"; \
	export DEBIAN_FRONTEND=noninteractive; \
	$$sudo apt-get install -qq -y --no-install-recommends $(1) >/dev/null 2>&1 \
	|| { $$sudo apt-get update -qq && \
	     $$sudo apt-get install -qq -y --no-install-recommends $(1) >/dev/null; }

.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' \
	| awk -F'|' '{ printf "  make %-10s %s\n", $$1, $$2 }'

.PHONY: demo
demo: $(VENV)/.central ## three simulated microscopes and the central dashboard on them (no torch)
	@$(BIN)/leuko-deploy dashboard demo

# Processes of the tests; a file stays in one of them.
JOBS ?= 2
.PHONY: test
test: lint types imports audit mosquitto postgresql sshd chromium strace systemd ## check everything, as CI does
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Where a figure is wanted the length is that figure; elsewhere SOAK times as often as in CI.
# SOAK_ONLY names files or tests, one row of docs/results.md at a time.
SOAK ?= 100
SOAK_ONLY ?=
.PHONY: soak
soak: $(VENV)/.dev mosquitto strace ## the tests that repeat themselves, at full length (hours)
	@LEUKO_SOAK=$(SOAK) $(BIN)/python -m pytest -m soak -s $(SOAK_ONLY)

# In an environment of its own: the scanner is under the GPL, and its pins are not ours. SCAN_S bounds
# each of its modules; which of them it cut off is printed with what was found.
SCANNER := .venv-scan
SCAN_S ?= 600
.PHONY: scan
scan: $(VENV)/.dev $(SCANNER)/.ready ## attack the dashboard with a scanner of web applications (20 min)
	@LEUKO_SCAN=1 LEUKO_SCAN_S=$(SCAN_S) LEUKO_SCANNER=$(SCANNER)/bin/wapiti \
	  $(BIN)/python -m pytest -s tests/deploy/dashboard/scan

.PHONY: lint
lint: $(VENV)/.dev ## style, and syntax that Python 3.10 knows
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/ruff format --check $(PACKAGES)
	@$(BIN)/vermin --quiet --no-tips --violations --eval-annotations --target=3.10- $(PACKAGES)

# On Python 3.10 numpy stops at 2.2, whose array types differ from those the code is checked against.
.PHONY: types
types: $(VENV)/.dev ## mypy, strict for the device
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then $(BIN)/mypy; \
	else echo "types are checked on Python 3.11 and newer; not here"; fi

.PHONY: imports
imports: $(VENV)/.dev ## who may know whom
	@$(BIN)/lint-imports --cache-dir $(VENV)/.import_linter_cache

.PHONY: audit
audit: $(VENV)/.dev ## known vulnerabilities of what is pinned, where PyPI can be asked
	@$(BIN)/python -m tests.house.audit

# A run that was interrupted goes on where it stood. Set BUNDLE_VERSION for another bundle.
BUNDLE_NAME    ?= leukoedge
BUNDLE_VERSION ?= 0.7.0
LEUKO_DATA     ?= ../shared/data
RUNS           ?= runs
.PHONY: bundle
bundle: $(RUNS)/data/.ready ## train both networks on the real data and write a bundle (2 to 3 h on two cores)
	$(BIN)/leuko-train fit trainer/recipes/detector.toml --data $(RUNS)/data --out $(RUNS)/detector
	$(BIN)/leuko-train fit trainer/recipes/edge.toml --data $(RUNS)/data --out $(RUNS)/classifier
	$(BIN)/leuko-export bundle --data $(RUNS)/data --detector $(RUNS)/detector \
	  --classifier $(RUNS)/classifier --name $(BUNDLE_NAME) --version $(BUNDLE_VERSION)

# The field sets as they are; the cells imported anew, which puts patients that share a cell into one
# group, and that group into one split.
$(RUNS)/data/.ready: $(VENV)/.dev
	@mkdir -p $(RUNS)/data
	@test -e $(RUNS)/data/cnmc2019 \
	|| $(BIN)/leuko-train data import $(LEUKO_DATA)/cnmc2019 --out $(RUNS)/data/cnmc2019
	@ln -sfn "$$(realpath $(LEUKO_DATA)/bccd)" $(RUNS)/data/bccd
	@ln -sfn "$$(realpath $(LEUKO_DATA)/txl-pbc)" $(RUNS)/data/txl-pbc
	@touch $@

.PHONY: format
format: $(VENV)/.dev ## rewrite the code in the house's style
	@$(BIN)/ruff check --fix $(PACKAGES)
	@$(BIN)/ruff format $(PACKAGES)

.PHONY: venv
venv: $(VENV)/.dev ## install everything for development into .venv
	@echo "ready: . $(BIN)/activate"

.PHONY: mosquitto
mosquitto:
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null \
	|| { $(call debian,mosquitto,tests with a real broker); } \
	|| echo "the tests that need Mosquitto will be skipped" >&2

# Debian puts PostgreSQL's programs where no PATH looks.
.PHONY: postgresql
postgresql:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
	|| { $(call debian,postgresql,tests with a real PostgreSQL); } \
	|| echo "the tests that need PostgreSQL will be skipped" >&2

.PHONY: sshd
sshd:
	@PATH="$$PATH:/usr/sbin"; command -v sshd >/dev/null \
	|| { $(call debian,openssh-server,tests that reach devices over SSH); } \
	|| echo "the tests that need sshd will be skipped" >&2

.PHONY: strace
strace:
	@command -v strace >/dev/null \
	|| { $(call debian,strace,tests that simulate power cuts); } \
	|| echo "the tests that need strace will be skipped" >&2

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	|| { $(call debian,chromium,tests that look at the report); } \
	|| echo "the tests that need Chromium will be skipped" >&2

# systemd-analyze judges the units of deploy/systemd. systemd itself runs in a device that the tests
# boot in namespaces of its own, where they run as root; an operator becomes root there by sudo.
.PHONY: systemd
systemd:
	@command -v systemd-analyze >/dev/null && command -v systemd-nspawn >/dev/null \
	&& command -v sudo >/dev/null \
	|| { $(call debian,systemd systemd-container sudo,tests of units and of a device as a whole); } \
	|| echo "the tests of the systemd units will be skipped" >&2

# --- set-up: each stamp is newer than what it was made from -------------------------------------

$(VENV)/.bootstrap: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	|| { echo "LeukoEdge needs Python 3.10 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	|| $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	|| { $(call debian,python3-venv,virtual environments); $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.daemon: $(VENV)/.bootstrap requirements/daemon.txt requirements/headless.txt pyproject.toml
	@echo "installing the daemon into $(VENV)"
	@$(call install,requirements/daemon.txt)
	@$(project)
	@touch $@

# A venv with everything has the dashboard as well; pins are the same.
$(VENV)/.central: $(VENV)/.bootstrap requirements/central.txt requirements/headless.txt pyproject.toml
	@echo "installing the daemon and the dashboard into $(VENV)"
	@$(call install,requirements/central.txt)
	@$(project)
	@touch $@

$(VENV)/.dev: $(VENV)/.bootstrap requirements/dev.txt requirements/headless.txt pyproject.toml
	@echo "installing everything into $(VENV); torch alone takes 5 GB"
	@$(call install,requirements/dev.txt)
	@$(project)
	@touch $@

$(SCANNER)/.ready: $(VENV)/.bootstrap requirements/tools/scan.txt
	@echo "installing the scanner into $(SCANNER)"
	@$(PYTHON) -m venv --clear $(SCANNER)
	@VIRTUAL_ENV=$(SCANNER) $(BIN)/uv pip install --quiet --require-hashes -r requirements/tools/scan.txt \
	|| $(SCANNER)/bin/python -m pip install --quiet --require-hashes -r requirements/tools/scan.txt
	@touch $@

# The project itself, editable; and where the machine has no X libraries, which opencv-python's
# windows need at import, the same OpenCV without windows.
define project
$(UV) pip install --quiet --no-deps --no-build-isolation --offline --editable . && \
{ $(BIN)/python -c 'import cv2' 2>/dev/null || { \
	echo "no X libraries here: taking OpenCV without windows"; \
	$(UV) pip uninstall --quiet opencv-python; \
	$(UV) pip install --quiet --reinstall --no-deps --require-hashes -r requirements/headless.txt; }; }
endef

# --- locks: every version and digest, for every platform, and no host ---------------------------

COMPILE = $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" -c requirements/constraints.in

.PHONY: lock
lock: $(VENV)/.bootstrap ## pin the newest allowed versions into requirements/
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) --extra demo pyproject.toml -o requirements/daemon.txt
	$(COMPILE) --no-deps -c requirements/daemon.txt requirements/headless.in -o requirements/headless.txt
	$(COMPILE) --extra demo --extra dashboard -c requirements/daemon.txt pyproject.toml -o requirements/central.txt
	$(COMPILE) --extra dev -c requirements/daemon.txt -c requirements/central.txt pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" requirements/tools/scan.in -o requirements/tools/scan.txt
