"""Parser and options that several commands share."""

import argparse
import difflib
from typing import Any, NoReturn, Optional, Sequence

# Those of sge_mmdet.evaluation.protocols, whose import takes seconds.
PROTOCOLS = (
    'coco',
    'aitod',
    'aitod-v2',
    'visdrone',
    'tinyperson',
    'soda-d',
    'soda-a',
    'lvis',
)
# Those of sge_mmdet.conversion.add_sge and of the plugins.
PLACES = ('backbone', 'outputs', 'neck', 'heads', 'both')
POSITIONS = ('after_conv1', 'after_conv2', 'after_conv3')


class Parser(argparse.ArgumentParser):
    """Parser that answers a mistyped option with the nearest one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and a message, and exit with status 2."""
        if message.startswith('unrecognized arguments: '):
            for word in message.split():
                near = difflib.get_close_matches(
                    word.partition('=')[0], self._option_string_actions, 1
                )
                if word.startswith('--') and near:
                    message += f'; the option nearest to {word} is {near[0]}'
        super().error(message)


class ConfigValues(argparse.Action):
    """Values of a config, ``KEY=VALUE``, parsed as MMEngine does.

    MMEngine is imported only if the option is used, because its import takes
    a second.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        """Store the values as a dict."""
        for value in values:
            if '=' not in value:
                raise argparse.ArgumentError(
                    self, f'expected KEY=VALUE, got {value!r}'
                )
        try:
            from mmengine.config import DictAction
        except ModuleNotFoundError:
            # The command needs it as well, and says how to install it.
            return
        parse = DictAction(self.option_strings, self.dest)
        try:
            parse(parser, namespace, values, option_string)
        except AssertionError as error:
            # MMEngine's, of brackets that are not closed.
            raise argparse.ArgumentError(self, str(error)) from error


def add_config_values(
    parser: argparse.ArgumentParser, description: str
) -> None:
    """Add ``--cfg-options`` to a parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
        description (str): Help of the option.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigValues,
        default={},
        metavar='KEY=VALUE',
        help=description,
    )


def create_parser(
    command: str, description: Optional[str], args: Optional[Sequence[str]]
) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
        command (str): Name of the command, such as "draw-run".
        description (str, optional): Docstring of its module.
        args (Sequence[str], optional): Arguments of ``main``. None means that
            the command runs as a script; the usage then has its name.
    """
    return Parser(
        prog=None if args is None else f'sge-mmdet {command}',
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_overwrite_option(
    parser: argparse.ArgumentParser, renews: bool = False
) -> None:
    """Add ``--overwrite`` to a parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
        renews (bool): Whether the command replaces its own earlier files even
            without this option. Default: False.
    """
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='also replace files that this command did not write, or that '
        'were changed since'
        if renews
        else 'replace existing files',
    )


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of sizes, metric and detections to a parser."""
    parser.add_argument(
        '--metric',
        default='bbox',
        choices=('bbox', 'segm'),
        help='evaluate boxes or masks; default: bbox',
    )
    parser.add_argument(
        '--size-bins',
        nargs='+',
        help='bins of object sizes: coco, aitod, or limits of sqrt(area) in '
        'pixels such as 0 8 16 32 inf; default: those of the protocol, coco',
    )
    parser.add_argument(
        '--max-dets',
        type=int,
        help='largest number of detections that count in an image, for each '
        'class; default: that of the protocol, 100 in COCO',
    )
    parser.add_argument(
        '--area',
        default='annotation',
        choices=('annotation', 'box'),
        help='area that gives the size of an object: the annotated area, as '
        'in COCO, or the area of its box; default: annotation',
    )


def add_tile_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--merge-tiles`` and ``--tile-merging`` to a parser."""
    parser.add_argument(
        '--merge-tiles',
        nargs='+',
        metavar='FILE [PATTERN]',
        help='the results are of tiles, which are merged into the images of '
        'the ground truth: JSON file whose "images" are the tiles; their '
        'places come from "source", "x" and "y" of each entry, or from the '
        'file names: NAME_X_Y, the names of SAHI or those of DOTA, or a '
        'regular expression with groups (?P<name>...), (?P<x>...) and '
        '(?P<y>...)',
    )
    parser.add_argument(
        '--tile-merging',
        nargs=3,
        metavar=('nmm|nms', 'ios|iou', 'THRESHOLD'),
        help='how detections of a class are merged: greedy non-maximum '
        'merging or suppression, from an intersection over the smaller box '
        'or over the union on; default: nmm ios 0.5, as SAHI does',
    )


def add_report_size_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--report-size`` to a parser."""
    parser.add_argument(
        '--report-size',
        type=float,
        default=25,
        metavar='MB',
        help='largest size of the pictures in the page, in megabytes; '
        'further ones lie in a folder beside it; default: 25',
    )


def add_protocol_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--protocol`` to a parser."""
    parser.add_argument(
        '--protocol',
        choices=PROTOCOLS,
        help='protocol of a data set, with its sizes, numbers of detections, '
        'IoU thresholds and rules of what is ignored; default: coco, or aitod '
        'with --size-bins aitod',
    )


def add_class_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--classes`` to a parser."""
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME|CONFIG|CHECKPOINT',
        help='classes of the detector: their names in the order of its '
        'labels, or a config or checkpoint that names them, or all for all '
        'categories of the ground truth; categories that are not among them '
        'are not evaluated; default: all categories, or the classes of CONFIG',
    )


def add_group_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--group-by`` to a parser."""
    parser.add_argument(
        '--group-by',
        metavar='KEY, PATTERN or FILE',
        help='groups of images that are resampled as wholes, such as videos, '
        'scenes or source images: a key of the entries of "images"; a regular '
        "expression on file names such as '(.*)_[0-9]+[.]jpg', whose part in "
        'parentheses is the group; or a JSON file that maps file names or '
        'image ids to groups; default: each image stands for itself',
    )
