"""Which samples make a step: all ranks together see what one rank sees."""

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.training.loader import Order, SampleData
from models.training.samples import collect
from tests.training.synthetic import dataset, switches


def epochs(rank=0, ranks=1, n=35, batch=4, epoch=0, shuffle=True, views=1):
    order = Order(np.arange(100, 100 + n), batch, 1, shuffle, rank, ranks, views)
    order.set_epoch(epoch)
    return list(order)


def flat(keys):
    return [sample for key in keys for sample in key.samples]


def joined(parts):
    """Batches of all ranks joined, as sets."""
    return [sorted(flat(keys)) for keys in zip(*parts, strict=True)]


def test_ranks_share_each_batch():
    """The twin in which both ranks draw everything sees each sample twice."""
    alone = [sorted(key.samples) for key in epochs()]
    assert joined([epochs(0, 2), epochs(1, 2)]) == alone
    assert joined([epochs(0, 1), epochs(0, 1)]) != alone
    assert {key.whole for key in epochs(1, 2)} == {4}


def test_each_epoch_is_shuffled_anew_and_the_same_again():
    first, second = epochs(epoch=0), epochs(epoch=1)
    assert first != second and second == epochs(epoch=1)
    assert sorted(flat(first)) != list(range(100, 135))  # three wait for another epoch
    assert len(first) == 35 // 4


def test_validation_is_whole_and_in_order():
    assert flat(epochs(shuffle=False)) == list(range(100, 135))


def test_all_ranks_turn_a_batch_alike():
    views = [key.view for key in epochs(views=4)]
    assert views == [key.view for key in epochs(1, 2, views=4)] and len(set(views)) > 1
    assert {key.view for key in epochs(shuffle=False, views=4)} == {0}


def test_a_batch_larger_than_the_training_part_is_named():
    train, parts = switches(nn_batch=50)
    with pytest.raises(HaloclineError, match="nn_batch is 50, the training part has 35 samples"):
        SampleData(collect({"a": dataset()}, train, parts), train, None)
