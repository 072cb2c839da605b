import sys
from pathlib import Path

# The helper modules of the tests (golden, numpy_sge, weights) stand here.
sys.path.insert(0, str(Path(__file__).parent))
