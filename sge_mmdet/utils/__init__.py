"""What several parts of the package need."""
from .json_files import check_json_file, load_json
from .stock_mmdet import stock_path

__all__ = ['check_json_file', 'load_json', 'stock_path']
