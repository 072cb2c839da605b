import sys
from pathlib import Path

# The helper modules of the tests (golden, numpy_sge) stand beside this file.
sys.path.insert(0, str(Path(__file__).parent))
