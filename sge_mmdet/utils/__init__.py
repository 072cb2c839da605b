"""What several parts of the package need."""
from .json_files import check_json_file, load_json

__all__ = ['check_json_file', 'load_json']
