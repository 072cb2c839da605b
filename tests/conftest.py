import sys
from pathlib import Path

# The helper modules of the tests stand here.
sys.path.insert(0, str(Path(__file__).parent))
