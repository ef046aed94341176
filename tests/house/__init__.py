"""What holds for the whole house: its layout, its locks, who imports whom."""
