"""Reports of an evaluation and of a comparison, as files in a folder."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, List, Mapping, Optional, Tuple, Union

from ..utils import RENEWING, Writer, printable
from ..utils.tables import Table, show_cell
from ..utils.terminal import step_bar
from .bins import SizeBin, size_bins
from .comparison_result import Comparison
from .diagnostics import TITLES
from .engines import evaluate
from .errors import ErrorBreakdown, errors_of_matches
from .evaluation_result import EvaluationResult
from .interactive import Gallery, Report, evaluated_report
from .matching import Matches, match
from .operating_points import HIT_OVERLAP, OperatingPoints, points_of_matches
from .pictures import Drawing, Picture
from .report_files import COMPARISON_FILES, PAGE, names_of_files
from .structures import Detections, GroundTruth
from .tables import class_table, size_table

# Limits of the bins of the curve of AP over size, in pixels. They are finer
# than those of the tables.
CURVE = (0, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, float('inf'))

# Headings of the tables in Markdown, by the names of their files.
HEADINGS = dict(
    sizes='Figures by size',
    classes='Figures by class',
    **TITLES,
)


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation with all that its tables and pictures show.

    Attributes:
        ground_truth: Ground truth.
        detections: Detections.
        result: Precision and recall by object size.
        curve: Precision and recall in the finer bins of the curve.
        errors: Errors on the objects of the size that the pictures show.
        points: Score thresholds by size and class.
        metric: Metric, "bbox" or "segm".
        name: Name of the detector, for the page.
        matches: Matches of objects of every size, for the page; None to match
            again.
        pictures: What returns the content of each picture, by file name.
        score: Score threshold that the page begins with; None for the one
            with the highest F1 over all sizes.
    """

    ground_truth: GroundTruth
    detections: Detections
    result: EvaluationResult
    curve: EvaluationResult
    errors: ErrorBreakdown
    points: OperatingPoints
    metric: str = 'bbox'
    name: str = 'the detector'
    matches: Optional[Matches] = None
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    score: Optional[float] = None

    def __repr__(self) -> str:
        """Return AP, and the numbers of images and detections."""
        sizes = dict.fromkeys(['all', self.errors.bin.name])
        figures = ', '.join(
            f'{size}={show_cell(self.result.ap(size=size))}' for size in sizes
        )
        return (
            f'<EvaluationReport of {printable(self.name)}: AP {figures}; '
            f'images={len(self.ground_truth.image_ids)}, '
            f'objects={self.result.count()}, '
            f'detections={len(self.detections.score)}>'
        )

    def to_dict(self) -> dict:
        """Return tables and errors as plain dicts and lists, for JSON."""
        figures = dict(self.result.figures)
        errors = dict(
            size=self.errors.bin.name,
            score=self.errors.score_threshold,
            objects=self.errors.objects,
            hits=self.errors.hits,
            misses=self.errors.misses,
            false=self.errors.false,
        )
        parts = dict(
            sizes=size_table(self.result).records(),
            classes=class_table(self.result).records(),
            **({'figures': figures} if figures else {}),
            errors=errors,
            operating_points=self.points.to_dict(),
        )
        if self.result.diagnostics:
            parts.update(self.result.diagnostics.to_dict())
        return parts

    @property
    def files(self) -> Tuple[str, ...]:
        """tuple[str, ...]: Names of the files, with and without images."""
        return names_of_files(self.result.diagnostics is not None)

    def write(
        self,
        out_dir: Union[str, Path],
        images: Optional[Union[str, Path]] = None,
        writer: Writer = RENEWING,
        megabytes: float = 25,
    ) -> None:
        """Write tables as CSV, Markdown and JSON, pictures, and a page.

        The page, ``report.html``, shows all of it to be explored.

        Args:
            out_dir (str or Path): Folder to write to.
            images (str or Path, optional): Folder of the images, for the
                picture of missed objects and the pictures of the page.
                Default: None, without these.
            writer (Writer): Writer of the files. Default: one that replaces
                only files that this package wrote.
            megabytes (float): Largest size of the pictures in the page;
                further ones lie in a folder beside it. Default: 25.

        Raises:
            OSError: If a file cannot be written, or none of the images that
                ``missed.png`` shows is there.
            ValueError: If none of these images can be read.
        """
        out = Path(out_dir)
        writer = self._keeping_images(images, writer)
        writer.check(*(out / name for name in self.files))
        tables = {
            'sizes': size_table(self.result),
            'classes': class_table(self.result),
            'operating_points': self.points.table(),
        }
        diagnostics = self.result.diagnostics
        if diagnostics:
            tables.update(
                error_costs=diagnostics.cost_table(),
                calibration=diagnostics.calibration_table(),
                confusions=diagnostics.confusion_table(),
            )
        shown = {HEADINGS[name]: table for name, table in tables.items()}
        if self.result.figures:
            shown['Figures of the protocol'] = self.result.figure_table()
        writer.write(out / 'evaluation.md', _markdown(shown))
        # Too long for a page.
        of_classes = self.points.table(classes=True)
        tables['operating_points_of_classes'] = of_classes
        for name, table in tables.items():
            writer.write(out / f'{name}.csv', table.csv())
        writer.write(
            out / 'evaluation.json', json.dumps(self.to_dict(), indent=1)
        )
        gallery = Gallery(images, most_bytes=int(megabytes * 1e6), beside=out)
        self.page(gallery).write(out / PAGE, writer)
        for name, picture in self.pictures.items():
            writer.write(out / name, picture())
        if images:
            from .plots import draw_missed

            draw_missed(
                self.errors,
                self.ground_truth,
                self.detections,
                images,
                out / 'missed.png',
                writer=writer,
            )

    def page(self, gallery: Gallery = Gallery()) -> Report:
        """Return a page in which the evaluation can be explored.

        Args:
            gallery (Gallery): Which pictures it shows. Default: none.
        """
        score, note, every = self.score, '', self.points.bins[0]
        if score is None:
            score = self.points.threshold(every.name)
            best = self.points.best(every.name)
            if best and best.score is not None:
                note = f'the score with the highest F1 ({every.text})'
        return evaluated_report(
            self.ground_truth,
            self.detections,
            self.result,
            self.curve,
            self.name,
            self.metric,
            score,
            gallery,
            self.matches,
            note,
        )

    def _keeping_images(
        self, images: Optional[Union[str, Path]], writer: Writer
    ) -> Writer:
        """Return a writer that keeps images with the name of a picture."""
        if not images:
            return writer
        inputs = [
            Path(images, name)
            for name in self.ground_truth.file_names
            if Path(name).name in self.files
        ]
        return replace(writer, inputs=[*writer.inputs, *inputs])


def report_evaluation(
    ground_truth: GroundTruth,
    detections: Detections,
    result: EvaluationResult,
    metric: str = 'bbox',
    score: Optional[float] = None,
    engine: Optional[str] = None,
    name: str = 'the detector',
    drawing: Drawing = Drawing(),
) -> EvaluationReport:
    """Add the curve and the errors of a report to an evaluation.

    Args:
        ground_truth (GroundTruth): Ground truth.
        detections (Detections): Detections.
        result (EvaluationResult): Result of :func:`evaluate` on them.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        score (float, optional): Lowest score of a detection in the breakdown
            of errors, and the one that the page begins with. Default: None,
            those with the highest F1: on objects of the size that the
            pictures show, and of all sizes.
        engine (str, optional): Engine, "native", "hotcoco" or
            "pycocotools". Default: None, the first of them that is there.
        name (str): Name of the detector, for the page. Default: "the
            detector".
        drawing (Drawing): What draws the pictures. Default: they are drawn
            when they are written.

    Returns:
        EvaluationReport: The report.
    """
    bins, data = result.bins, (ground_truth, detections)
    size = _pictured_size(bins)
    known, names = result.diagnostics, ['errors', 'AP by size']
    pictures = {}

    def draw(picture: str, function: str, *shown: Any) -> None:
        pictures[f'{picture}.png'] = drawing.submit(function, *shown)

    # Each one as soon as there is what it shows.
    plain = replace(result, diagnostics=None)
    draw('precision_recall', 'draw_precision_recall', plain, size.name)
    draw('classes', 'draw_class_bars', plain, size.name)
    if known:
        draw('error_costs', 'draw_error_costs', known)
        draw('calibration', 'draw_calibration', known)
        draw('confusions', 'draw_confusion', known, size.name)
    if not known:
        names = ['matches', 'operating points', *names]
    with step_bar(names) as step:
        if known:
            matches, points = known.matches, known.points
        else:
            matches = step(
                match, *data, bins, metric, [HIT_OVERLAP], result.counted
            )
            points = step(
                points_of_matches, matches, bins, ground_truth.category_names
            )
        draw('operating_points', 'draw_operating_points', points, size.name)
        errors = step(
            errors_of_matches,
            *data,
            size,
            metric,
            matches.of_bin(bins.index(size)),
            points.threshold(size.name) if score is None else score,
        )
        draw('errors', 'draw_errors', errors)
        curve = step(
            evaluate,
            *data,
            size_bins(CURVE),
            metric,
            max_dets=(result.counted,),
            engine=engine,
        )
        draw('ap_by_size', 'draw_ap_by_size', curve)
    # The page counts objects of all sizes, also those beyond a protocol's
    # largest one.
    is_every_size = (bins[0].low, bins[0].high) == (0, float('inf'))
    return EvaluationReport(
        *data,
        result,
        curve,
        errors,
        points,
        metric,
        name,
        matches.of_bin(0) if is_every_size else None,
        pictures,
        score,
    )


def write_comparison(
    comparison: Comparison,
    out_dir: Union[str, Path],
    writer: Writer = RENEWING,
    page: Optional[Report] = None,
) -> None:
    """Write a comparison as JSON, Markdown, CSV, a picture and a page.

    Args:
        comparison (Comparison): The comparison.
        out_dir (str or Path): Folder to write to.
        writer (Writer): Writer of the files. Default: one that replaces only
            files that this package wrote.
        page (Report, optional): Page in which it can be explored, of
            :func:`compared_report`. Default: None.

    Raises:
        OSError: If a file cannot be written.
    """
    from .plots import draw_comparison

    as_json, as_markdown, as_csv, picture, as_page = (
        Path(out_dir, name) for name in COMPARISON_FILES
    )
    tables = {
        'Differences by size': comparison.table(),
        'Differences by class': comparison.table(classes=True),
    }
    writer.write(as_json, json.dumps(comparison.to_dict(), indent=1))
    writer.write(as_markdown, f'{comparison.verdict()}\n\n{_markdown(tables)}')
    writer.write(as_csv, comparison.csv())
    draw_comparison(comparison, picture, writer=writer)
    if page:
        page.write(as_page, writer)


def _pictured_size(bins: List[SizeBin]) -> SizeBin:
    """Return the bin named "small", or the first one after all sizes."""
    named = {bin.name: bin for bin in bins[1:]}
    return named.get('small', bins[1])


def _markdown(tables: Mapping[str, Table]) -> str:
    """Return tables below their headings."""
    return '\n'.join(
        f'## {heading}\n\n{table.markdown()}\n'
        for heading, table in tables.items()
    )
