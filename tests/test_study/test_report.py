import json
import re
import shutil
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.image import imread

from sge_mmdet.evaluation import read_ground_truth, size_bins
from sge_mmdet.evaluation.protocols import find_protocol
from sge_mmdet.study import StudyRun, report_figures, resample_runs
from sge_mmdet.study.page import study_page, write_run_pages
from sge_mmdet.study.plots import draw_study, draw_study_curves
from sge_mmdet.utils import Writer
from tests.helpers.browser import needs_chromium, open_page, open_tab
from tests.helpers.random_coco import random_coco

COCO = find_protocol().with_options(size_bins([0, 10, 200, float('inf')]))


@pytest.fixture
def study(tmp_path):
    """Three configs, of which the third lacks a seed and is worse."""
    ground_truth, results = random_coco(1, images=30)
    random = np.random.default_rng(0)
    runs = []
    for name, keep in (('none', 0.7), ('SE', 0.7), ('SGE', 0.02)):
        for seed in range(3):
            run = StudyRun(
                name,
                seed,
                tmp_path / 'c.py',
                tmp_path / name / f'{seed}',
                tmp_path / 't.json',
                'bbox',
            )
            runs.append(run)
            if (name, seed) == ('SGE', 2):
                continue
            log = run.work_dir / '1' / 'vis_data' / 'scalars.json'
            log.parent.mkdir(parents=True)
            log.write_text(
                '\n'.join(
                    json.dumps(
                        {
                            'step': step,
                            'loss': 1 / step,
                            'coco/bbox_mAP': step / 9,
                        }
                    )
                    for step in (1, 2, 3)
                )
            )
            run.detections.write_text(
                json.dumps(
                    [result for result in results if random.random() < keep]
                )
            )
    return read_ground_truth(ground_truth), runs


def report_study(runs, *args, **kwargs):
    return report_figures(resample_runs(runs, *args, **kwargs), runs[0].name)


def test_every_config_is_compared_with_the_first_on_common_seeds(study):
    ground_truth, runs = study
    report = report_study(runs, ground_truth, COCO, resamples=50)
    assert [comparison.names for comparison in report.comparisons] == [
        ('none', 'SE'),
        ('none', 'SGE'),
    ]
    assert [comparison.seeds for comparison in report.comparisons] == [
        (3, 3),
        (2, 2),
    ]
    assert report.small == 'AP_0-10'
    assert 'SGE is worse than none in AP' in report.text()
    text = report.text()
    assert 'over 3 paired seeds' in text and 'over 2 paired seeds' in text
    assert 'exclude zero by chance' in report.text()


def test_table_has_mean_spread_and_intervals(study):
    ground_truth, runs = study
    report = report_study(runs, ground_truth, COCO, resamples=50)
    table = report.table()
    assert table.header == [
        'config',
        'seeds',
        'AP',
        'AP50',
        'AP75',
        'AP_0-10',
        'AP_10-200',
        'AP_0-10 - none (95 %)',
        'AP - none (95 %)',
    ]
    first, _, last = table.rows
    values = [run['AP'] for run in report.values['none'].values()]
    assert first[:3] == [
        'none',
        3,
        f'{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}',
    ]
    assert first[-1] == '-' and last[1] == 2
    row = report.comparisons[1]['AP']
    assert last[-1] == (
        f'{100 * row.difference:+.1f} ({100 * row.low:+.1f} '
        f'to {100 * row.high:+.1f}, 2 seeds)'
    )


def test_difference_over_fewer_seeds_says_what_the_first_has_in_them(study):
    ground_truth, runs = study
    report = report_study(runs, ground_truth, COCO, resamples=50)
    of_se, of_sge, *_ = report.text().split('\n\n')
    row = report.comparisons[1]['AP_0-10']
    assert 'Over the' not in of_se
    assert of_sge.endswith(
        f' Over the 2 seeds that both have, none has {100 * row.a:.1f} in '
        f'AP_0-10, and SGE {100 * row.b:.1f}.'
    )


def test_report_is_written_with_all_digits(study):
    ground_truth, runs = study
    report = report_study(runs, ground_truth, COCO, resamples=20)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    lines = report.csv().splitlines()
    assert lines[0] == 'config,seed,figure,value'
    assert len(lines) == 1 + 8 * 6
    assert f'none,1,AP,{data["runs"]["none"]["1"]["AP"]}' in lines
    assert data['runs']['none']['1']['AP_200-inf'] is None


def test_study_without_its_baseline_has_means_alone(study):
    ground_truth, runs = study
    for run in runs[:3]:
        run.detections.unlink()
    report = report_study(runs, ground_truth, COCO, resamples=20)
    assert list(report.values) == ['SE', 'SGE'] and not report.comparisons
    assert [row[0] for row in report.table().rows] == ['SE', 'SGE']
    assert 'nothing to compare' in report.text()


def test_interval_of_a_single_seed_is_marked(study):
    ground_truth, runs = study
    runs[4].detections.unlink()
    runs[5].detections.unlink()
    report = report_study(runs, ground_truth, COCO, resamples=20)
    _, se, sge = report.table().rows
    assert se[-1].endswith(', images alone)') and sge[-1][-1].endswith(')')
    assert 'images alone' not in sge[-1]
    of_se, of_sge, _ = report.text().split('\n\n')
    assert 'do not hold what another training would change' in of_se
    assert 'over 2 paired seeds' in of_sge


def test_study_without_small_objects_is_about_all(study):
    ground_truth, runs = study
    protocol = COCO.with_options(size_bins([0, 0.5, float('inf')]))
    report = report_study(runs, ground_truth, protocol, resamples=20)
    assert report.small == 'AP'
    assert report.table().header[-1] == 'AP - none (95 %)'
    assert 'in AP_0' not in report.text()


def test_runs_without_mmengines_log_are_left_out_of_the_curves(
    study, tmp_path
):
    _, runs = study
    for run in runs:
        shutil.rmtree(run.work_dir / '1', ignore_errors=True)
    draw_study_curves(runs, tmp_path / 'curves.png')
    assert imread(tmp_path / 'curves.png').std() > 0


def test_study_without_results_is_refused(study):
    ground_truth, runs = study
    for run in runs:
        run.detections.unlink(missing_ok=True)
    with pytest.raises(ValueError, match='No run'):
        report_study(runs, ground_truth, COCO)


def test_pictures_are_drawn(study, tmp_path):
    ground_truth, runs = study
    draw_study(
        report_study(runs, ground_truth, COCO, resamples=20),
        tmp_path / 'study.png',
    )
    draw_study_curves(runs, tmp_path / 'curves.png')
    for name in 'study', 'curves':
        assert imread(tmp_path / f'{name}.png').std() > 0


def test_page_shows_each_run_and_leads_to_its_report(study, tmp_path):
    ground_truth, runs = study
    report = report_study(runs, ground_truth, COCO, resamples=20)
    work_dir = runs[0].work_dir.parent.parent
    write_run_pages(runs[:1], ground_truth, COCO, Writer())
    page = study_page(report, runs, work_dir, 'summary')
    content = json.loads(
        re.search(r'id="content">(.*?)</script>', page.html, re.S)[1]
    )
    linked = [
        run['report']
        for config in content['configs']
        for run in config['runs']
        if run['report']
    ]
    assert len(linked) == 1 and (work_dir / unquote(linked[0])).is_file()
    for config in content['configs']:
        for run in config['runs']:
            assert run['figures'].keys() == {*report.figures}
    assert {curve['quantity'] for curve in content['curves']}


@needs_chromium
def test_page_of_a_study_follows_its_choices(study, tmp_path):
    ground_truth, runs = study
    report = report_study(runs, ground_truth, COCO, resamples=20)
    study_page(report, runs, tmp_path, 'summary').write(tmp_path / 'a.html')
    with open_tab() as tab, open_page(
        tab, tmp_path / 'a.html', dict(width=400, height=800)
    ) as page:
        assert report.small in page.text_content('#points-plot')
        page.select_option('#points select', 'AP')
        assert 'AP, in points' in page.text_content('#points-plot')
        root = 'document.documentElement'
        assert page.evaluate(f'{root}.scrollWidth') <= 400


@needs_chromium
def test_page_of_a_study_leads_to_the_pages_of_its_runs(study, tmp_path):
    ground_truth, runs = study
    runs = [replace(run, name=f'<b>{run.name}</b>') for run in runs]
    report = report_study(runs, ground_truth, COCO, resamples=20)
    write_run_pages(runs[:1], ground_truth, COCO, Writer())
    study_page(report, runs, tmp_path, 'summary').write(tmp_path / 'a.html')
    with open_tab() as tab, open_page(tab, tmp_path / 'a.html') as page:
        # A name is no markup, neither in the table nor in plots.
        link = page.get_attribute('#runs td a', 'href')
        assert (tmp_path / link).is_file()
        assert page.text_content('#runs td a') == '<b>none</b>'
        assert '<b>SGE</b>' in page.text_content('#points-plot')
