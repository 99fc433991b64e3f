"""The data is the pinned one, and its parts are fixed with it."""

import re

import numpy as np
import pytest
from model_pipeline import PipelineError, dataset


def test_the_version_is_a_dataset_version(rows):
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}-\d{6}", rows.version)


def test_rows_are_split_70_15_15(rows):
    sizes = [len(part.labels) for part in (rows.train, rows.validation, rows.test)]
    assert sum(sizes) == len(rows.labels) == 569
    assert [size / 569 for size in sizes] == pytest.approx([0.70, 0.15, 0.15], abs=0.005)


def test_every_part_has_the_same_share_of_malignant_rows(rows):
    for part in (rows.train, rows.validation, rows.test):
        assert part.labels.mean() == pytest.approx(rows.labels.mean(), abs=0.01)


def test_no_row_is_in_two_parts(rows):
    parts = [part.features for part in (rows.train, rows.validation, rows.test)]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 569


def test_types_are_those_of_the_model_contract(rows):
    assert rows.features.dtype == np.float32
    assert rows.features.shape == (569, 30)
    assert rows.labels.dtype == np.int64


def test_the_class_whose_score_counts_is_malignant(rows):
    assert dataset.CLASS_NAMES[1] == "malignant"
    area = rows.features[:, rows.feature_names.index("mean area")]
    assert area[rows.labels == 1].mean() > 2 * area[rows.labels == 0].mean()


def test_one_changed_value_changes_the_content_hash(rows):
    changed = rows.features.copy()
    changed[300, 7] = np.nextafter(changed[300, 7], np.float32(1e9))
    before = dataset.content_sha256(rows.features, rows.labels, rows.feature_names)
    assert dataset.content_sha256(changed, rows.labels, rows.feature_names) != before


def test_content_that_is_not_the_pinned_one_is_refused_with_both_hashes(monkeypatch):
    pin = {**dataset.read_pin(), "sha256": "0" * 64}
    found = dataset.read_pin()["sha256"]
    monkeypatch.setattr(dataset, "read_pin", lambda: pin)
    with pytest.raises(PipelineError, match=f"dataset.json: .*{'0' * 64}.*ships {found}"):
        dataset.load()
