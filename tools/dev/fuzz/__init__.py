"""Random files and what should become of them; see ``../fuzz_files.py``."""
