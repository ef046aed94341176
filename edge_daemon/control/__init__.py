"""Known cells screened again: does this device still see what it saw?"""
