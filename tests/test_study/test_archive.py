import gzip
import json
from dataclasses import replace

import pytest

from sge_mmdet.evaluation import read_ground_truth, size_bins
from sge_mmdet.evaluation.protocols import find_protocol
from sge_mmdet.study import StudyRun, report_figures, resample_runs
from sge_mmdet.study.archive import archive_runs, read_archive
from sge_mmdet.utils import Writer
from sge_mmdet.visualization.training_curves import read_scalars
from tests.helpers.random_coco import random_coco

COCO = find_protocol().with_options(size_bins([0, 30, float('inf')]))


@pytest.fixture
def runs(tmp_path):
    """Two configs with two seeds; the last one is not done."""
    ground_truth, results = random_coco(3, images=20)
    truth = tmp_path / 'truth.json'
    truth.write_text(json.dumps(ground_truth))
    made = []
    for name in ('none', 'SGE'):
        for seed in (0, 1):
            work_dir = tmp_path / name / f'seed_{seed}'
            run = StudyRun(
                name, seed, tmp_path / 'c.py', work_dir, truth, 'bbox'
            )
            made.append(run)
            if (name, seed) == ('SGE', 1):
                continue
            log = work_dir / '1' / 'vis_data' / 'scalars.json'
            log.parent.mkdir(parents=True)
            lines = [
                dict(step=5, loss=1.25, lr=0.1),
                dict(step=5, **{'coco/bbox_mAP': 0.5}),
            ]
            log.write_text('\n'.join(map(json.dumps, lines)))
            run.detections.write_text(json.dumps(results[seed + 1 :]))
    return made


def report(runs):
    ground_truth = read_ground_truth(runs[0].ground_truth)
    figures = resample_runs(runs, ground_truth, COCO, resamples=10)
    return report_figures(figures, 'none')


def test_report_on_an_archive_is_that_of_the_study(runs, tmp_path):
    archive = tmp_path / 'archive'
    assert archive_runs(runs, archive, Writer()) == 3
    kept = read_archive(archive)
    assert [(run.name, run.seed) for run in kept] == [
        ('none', 0),
        ('none', 1),
        ('SGE', 0),
    ]
    for name, seeds in report(runs).values.items():
        for seed, figures in seeds.items():
            of_kept = report(kept).values[name][seed]
            assert of_kept == pytest.approx(figures, abs=0.02, nan_ok=True)
    scalars = read_scalars(kept[0].work_dir)
    assert scalars['loss'] == {5: 1.25}
    assert scalars['coco/bbox_mAP'] == {5: 0.5}


def test_archive_grows_with_the_study_and_keeps_what_it_has(runs, tmp_path):
    archive = tmp_path / 'archive'
    writer = Writer(renews=True)
    archive_runs(runs, archive, writer)
    first = next(archive.glob('none/seed_0/*.gz')).read_bytes()
    # As in a clone of the repository that holds it.
    (archive / '.sge_mmdet.json').unlink()
    runs[3].work_dir.mkdir(parents=True)
    runs[3].detections.write_text(runs[0].detections.read_text())
    assert archive_runs(runs, archive, writer) == 1
    assert len(read_archive(archive)) == 4
    assert next(archive.glob('none/seed_0/*.gz')).read_bytes() == first


def test_archive_is_of_one_test_alone(runs, tmp_path):
    archive = tmp_path / 'archive'
    archive_runs(runs, archive, Writer())
    content = json.loads(runs[0].ground_truth.read_text())
    content['annotations'].pop()
    runs[0].ground_truth.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='other test annotations'):
        archive_runs(runs, archive, Writer(renews=True))


def test_archive_without_annotations_takes_the_data_sets_own(runs, tmp_path):
    archive, writer = tmp_path / 'archive', Writer(renews=True)
    archive_runs(runs, archive, writer)
    annotations = archive / 'annotations.json.gz'
    annotations.unlink()
    with pytest.raises(FileNotFoundError, match=f'gzip -c .* > {annotations}'):
        read_archive(archive)
    content = json.loads(runs[0].ground_truth.read_text())
    for each in content['annotations']:
        each['segmentation'] = []
    annotations.write_bytes(gzip.compress(json.dumps(content).encode()))
    assert archive_runs(runs, archive, writer) == 0
    assert len(read_archive(archive)) == 3


def test_archive_without_the_first_config_has_nothing_to_compare(
    runs, tmp_path
):
    archive = tmp_path / 'archive'
    for run in runs[:2]:
        run.detections.unlink()
    archive_runs(runs, archive, Writer())
    with pytest.raises(ValueError, match='no results yet of its first config'):
        read_archive(archive)


def test_config_keeps_its_name_in_an_archive(runs, tmp_path):
    archive = tmp_path / 'archive'
    archive_runs(runs, archive, Writer())
    renamed = [replace(run, name=f'{run.name} again') for run in runs]
    with pytest.raises(ValueError, match="under the name 'none', got"):
        archive_runs(renamed, archive, Writer(renews=True))


def test_archive_has_no_masks(runs, tmp_path):
    masks = StudyRun('none', 0, *[tmp_path / 'x'] * 3, 'segm')
    with pytest.raises(ValueError, match='keeps boxes and no masks'):
        archive_runs([masks], tmp_path / 'archive', Writer())


def test_damaged_archive_is_named(runs, tmp_path):
    archive = tmp_path / 'archive'
    archive_runs(runs, archive, Writer())
    index = archive / 'runs.json'
    index.write_text(index.read_text().replace('"seed"', '"sead"'))
    with pytest.raises(ValueError, match=r'runs\.json is damaged'):
        read_archive(archive)
    file = next(archive.glob('none/seed_0/*.gz'))
    file.write_bytes(file.read_bytes()[:-20])
    ground_truth = read_ground_truth(archive / 'annotations.json.gz')
    run = StudyRun('none', 0, *[file.parent] * 3, 'bbox')
    with pytest.raises(ValueError, match='damaged or truncated'):
        resample_runs([run], ground_truth, COCO)


def test_file_that_gzip_inflates_beyond_the_memory_is_refused(
    tmp_path, monkeypatch
):
    from sge_mmdet.utils import json_files

    path = tmp_path / 'truth.json.gz'
    path.write_bytes(gzip.compress(b'[' + b' ' * 2_000_000 + b']'))
    monkeypatch.setattr(json_files, 'available_memory', lambda: 3_000_000)
    with pytest.raises(ValueError, match='of memory, of which'):
        json_files.read_json_text(path)
