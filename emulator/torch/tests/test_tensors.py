"""Tensors that are made on a card, moved, and computed with."""

import copy
import pickle

import numpy
import pytest
import torch

DEVICES = ["cuda", "cuda:0", torch.device("cuda"), torch.device("cuda:0"), 0]

FACTORIES = {
    "empty": lambda d: torch.empty(2, 3, device=d),
    "zeros": lambda d: torch.zeros((2, 3), device=d),
    "ones": lambda d: torch.ones(2, 3, device=d),
    "full": lambda d: torch.full((2, 3), 1.5, device=d),
    "rand": lambda d: torch.rand(2, 3, device=d),
    "randn": lambda d: torch.randn(2, 3, device=d),
    "randint": lambda d: torch.randint(0, 9, (2, 3), device=d),
    "randperm": lambda d: torch.randperm(5, device=d),
    "arange": lambda d: torch.arange(5, device=d),
    "linspace": lambda d: torch.linspace(0, 1, 5, device=d),
    "logspace": lambda d: torch.logspace(0, 1, 5, device=d),
    "eye": lambda d: torch.eye(3, device=d),
    "tensor": lambda d: torch.tensor([1.0, 2], device=d),
    "tensor of numpy": lambda d: torch.tensor(numpy.ones(3), device=d),
    "as_tensor": lambda d: torch.as_tensor([1, 2], device=d),
    "as_tensor of numpy": lambda d: torch.as_tensor(numpy.ones(3), device=d),
    "empty_strided": lambda d: torch.empty_strided((2, 3), (3, 1), device=d),
    "zeros_like": lambda d: torch.zeros_like(torch.ones(2), device=d),
    "empty_like": lambda d: torch.empty_like(torch.ones(2), device=d),
    "rand_like": lambda d: torch.rand_like(torch.ones(2), device=d),
    "new_zeros": lambda d: torch.ones(1).new_zeros(2, device=d),
    "new_tensor": lambda d: torch.ones(1).new_tensor([2.0], device=d),
    "new_full": lambda d: torch.ones(1).new_full((2,), 3.0, device=d),
    "tril_indices": lambda d: torch.tril_indices(3, 3, device=d),
    "hann_window": lambda d: torch.hann_window(4, device=d),
    "normal": lambda d: torch.normal(0.0, 1.0, (2, 3), device=d),
    "sparse": lambda d: torch.sparse_coo_tensor([[0, 1]], [1.0, 2], (3,), device=d),
    "to": lambda d: torch.ones(2, 3).to(d),
    "to with dtype": lambda d: torch.ones(2, 3).to(d, torch.float16),
    "to by keyword": lambda d: torch.ones(2, 3).to(device=d, dtype=torch.float64, non_blocking=True),
    "cuda": lambda d: torch.ones(2, 3).cuda(d),
    "module": lambda d: torch.nn.Linear(2, 3).to(d).weight,
    "module made there": lambda d: torch.nn.Linear(2, 3, device=d).weight,
    "nested": lambda d: torch.stack([torch.ones(2, device=d), torch.zeros(2, device=d)]),
}


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("name", FACTORIES)
def test_is_on_the_card(name, device):
    x = FACTORIES[name](device)
    assert x.device == torch.device("cuda:0")
    assert x.is_cuda and not x.is_cpu and x.get_device() == 0
    assert "device='cuda:0'" in repr(x)
    assert x.cpu().device.type == "cpu" and not x.cpu().is_cuda


def test_legacy_types():
    x = torch.cuda.FloatTensor([1.0, 2])
    assert x.is_cuda and x.type() == "torch.cuda.FloatTensor"
    assert torch.cuda.LongTensor(3).dtype is torch.int64
    assert torch.ones(2).type("torch.cuda.HalfTensor").device.type == "cuda"
    assert not x.type("torch.DoubleTensor").is_cuda
    assert isinstance(x, torch.cuda.FloatTensor) and not isinstance(torch.ones(1), torch.cuda.FloatTensor)


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="from 2.0 on")
def test_default_device():
    try:
        torch.set_default_device("cuda")
        for x in (torch.ones(2), torch.tensor([1.0]), torch.arange(3), torch.nn.Linear(2, 2).weight, torch.randn(2)):
            assert x.device == torch.device("cuda:0")
    finally:
        torch.set_default_device("cpu")
    with torch.device("cuda"):
        assert torch.zeros(2).is_cuda and torch.nn.LayerNorm(3).weight.is_cuda
    with torch.device("cuda:1"):
        assert torch.tensor([1, 2]).get_device() == 1
    assert not torch.ones(2).is_cuda


def test_moves():
    x = torch.randn(3, 4)
    y = x.cuda()
    assert y.to("cuda") is y and y.cuda() is y and y.to(torch.float32) is y
    assert torch.equal(y.cpu(), x) and y.data_ptr() != x.data_ptr()
    assert y.to("cuda", copy=True) is not y
    y.add_(1)
    assert not torch.equal(y.cpu(), x)
    assert y.to(x) .device.type == "cpu" and x.to(y).is_cuda
    assert y.half().dtype is torch.float16 and y.half().is_cuda and y.long().is_cuda
    z = y.to("cuda:1")
    assert z.device.index == 1 and y.device.index == 0
    assert torch.equal(z.cpu(), y.cpu())
    assert x.type_as(y).is_cuda and not y.type_as(x).is_cuda
    assert y.to("meta").device.type == "meta"
    x.copy_(y)
    assert not x.is_cuda and torch.equal(x, y.cpu())


def test_numpy_refuses():
    x = torch.ones(2, device="cuda:1")
    for use in (x.numpy, lambda: numpy.asarray(x), lambda: numpy.array([1, 2]) + numpy.asarray(x)):
        with pytest.raises(TypeError, match="can't convert cuda:1 device type tensor to numpy. Use Tensor.cpu"):
            use()
    assert x.cpu().numpy().tolist() == [1, 1] and x.tolist() == [1, 1]


OPS = {
    "arithmetic": lambda x: (x + 1) * 2 - x / 3,
    "reversed": lambda x: 1 - x + 2 * (1 / (x * x + 1)),
    "scalar of cpu": lambda x: x + torch.tensor(2.0, device="cpu"),
    "matmul": lambda x: x @ x.T,
    "views": lambda x: x.view(-1)[2:5].reshape(3, 1).expand(3, 2),
    "index": lambda x: x[0],
    "index by mask": lambda x: x[x > 0],
    "index by list": lambda x: x[[0, 1]],
    "index by cpu": lambda x: x[torch.tensor([0, 1], device="cpu")],
    "split": lambda x: x.split(2, dim=1)[1],
    "chunk": lambda x: torch.chunk(x, 2)[0],
    "unbind": lambda x: x.unbind(0)[1],
    "cat": lambda x: torch.cat([x, x], dim=1),
    "stack": lambda x: torch.stack((x, x)),
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
    "svd": lambda x: torch.linalg.svd(x)[1],
    "solve": lambda x: torch.linalg.solve(x @ x.T + torch.eye(3, device=x.device), x),
    "fft": lambda x: torch.fft.rfft(x).abs(),
    "sort": lambda x: x.sort()[0],
    "topk": lambda x: torch.topk(x, 2).values,
    "max": lambda x: x.max(dim=1).indices,
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "softmax": lambda x: torch.softmax(x, -1),
    "attention": lambda x: torch.nn.functional.multi_head_attention_forward(
        x[:, None], x[:, None], x[:, None], 4, 2, torch.ones(12, 4, device=x.device), torch.ones(12, device=x.device), None, None,
        False, 0.0, torch.eye(4, device=x.device), torch.ones(4, device=x.device), need_weights=False)[0],
    "norm": lambda x: x.norm(dim=0),
    "cumsum": lambda x: x.cumsum(0),
    "gather": lambda x: x.gather(1, torch.zeros(3, 1, dtype=torch.long, device=x.device)),
    "scatter": lambda x: torch.zeros_like(x).scatter_(1, torch.zeros(3, 1, dtype=torch.long, device=x.device), 1.0),
    "iteration": lambda x: sum(row for row in x),
    "clone": lambda x: x.clone().detach().contiguous(),
    "in place": lambda x: x.clone().mul_(2).add_(1).clamp_(0, 1),
    "set item": lambda x: _set(x.clone()),
    "out": lambda x: torch.add(x, x, out=torch.empty_like(x)),
    "outer": lambda x: torch.outer(x[0], x[1]),
    "interpolate": lambda x: torch.nn.functional.interpolate(x[None, None], scale_factor=2),
    "unique": lambda x: torch.unique((x * 3).round()),
    "nonzero": lambda x: (x > 0).nonzero(),
    "meshgrid": lambda x: torch.meshgrid(x[0], x[1], indexing="ij")[0],
    "cdist": lambda x: torch.cdist(x, x),
    "comparison": lambda x: (x == x).all(),
}  # fmt: skip


def _set(x):
    x[0, 1:] = 5
    x[1] = torch.ones(4, device=x.device)
    return x


@pytest.mark.parametrize("name", OPS)
def test_same_result_and_place(name):
    x = torch.randn(3, 4)
    expected = OPS[name](x)
    y = x.cuda()
    result = OPS[name](y)
    assert result.device == torch.device("cuda:0")
    torch.testing.assert_close(result.cpu(), expected)


def test_values():
    x = torch.ones(2, 3, device="cuda")
    assert x.sum().item() == 6 and float(x[0, 0]) == 1 and bool(x.all()) and int(x.sum()) == 6
    assert x.shape == (2, 3) and len(x) == 2 and x.size(1) == 3 and x.stride() == (3, 1) and x.dtype is torch.float32
    assert f"{x.sum()}" == "6.0" and hash(x) == id(x) and x in [x]
    assert type(x).__name__ == "Tensor" and isinstance(x, torch.Tensor) and torch.is_tensor(x)
    assert x.is_shared() and x.share_memory_() is x


def test_repr():
    x = torch.tensor([1.0, 2], device="cuda")
    assert repr(x) == "tensor([1., 2.], device='cuda:0')"
    assert repr(x.half()) == "tensor([1., 2.], device='cuda:0', dtype=torch.float16)"
    assert repr(x.clone().requires_grad_()) == "tensor([1., 2.], device='cuda:0', requires_grad=True)"
    assert repr(torch.nn.Parameter(x)) == "Parameter containing:\ntensor([1., 2.], device='cuda:0', requires_grad=True)"
    assert "grad_fn=<MulBackward0>" in repr(x.requires_grad_() * 2)


MIXED = {
    "add": lambda c, g: g + c,
    "add the other way": lambda c, g: c + g,
    "matmul": lambda c, g: g @ c,
    "cat": lambda c, g: torch.cat([g, c]),
    "stack": lambda c, g: torch.stack([c, g]),
    "linear": lambda c, g: torch.nn.Linear(2, 2).cuda()(c),
    "linear on the cpu": lambda c, g: torch.nn.Linear(2, 2)(g),
    "in place": lambda c, g: g.add_(c),
    "keyword": lambda c, g: torch.add(input=g, other=c),
    "where": lambda c, g: torch.where(g > 0, g, c),
    "embedding": lambda c, g: torch.nn.Embedding(4, 2).cuda()(torch.tensor([1, 2])),
    "cross entropy": lambda c, g: torch.nn.functional.cross_entropy(g, torch.tensor([0, 1])),
    "lists": lambda c, g: torch.einsum("ij,jk->ik", g, c),
    "cards": lambda c, g: g + g.to("cuda:1"),
}


@pytest.mark.parametrize("name", MIXED)
def test_placement_error(name):
    cpu = torch.eye(2)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but (found|got)"):
        MIXED[name](cpu, cpu.cuda())


def test_placement_error_text():
    x = torch.ones(2, device="cuda")
    with pytest.raises(RuntimeError) as caught:
        x + torch.ones(2)
    text = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
    assert str(caught.value) == text
    with pytest.raises(RuntimeError, match="at least two devices, cuda:(0 and cuda:1|1 and cuda:0)!"):
        x + x.to("cuda:1")
    with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
        torch.ones(3)[torch.tensor([0], device="cuda")]
    with pytest.raises(RuntimeError, match=r"Input type \(torch.FloatTensor\) and weight type \(torch.cuda.FloatTensor\)"):
        torch.nn.Conv2d(1, 1, 1).cuda()(torch.ones(1, 1, 2, 2))
    with pytest.raises(RuntimeError, match="assigned grad has data located on a different device"):
        p = torch.ones(2, device="cuda", requires_grad=True)
        p.grad = torch.ones(2)


def test_copies():
    x = torch.ones(2, device="cuda:1")
    for y in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert y is not x and y.device == x.device and torch.equal(y, x)
    p = torch.nn.Parameter(x)
    q = copy.deepcopy(p)
    assert isinstance(q, torch.nn.Parameter) and q.is_cuda and q.requires_grad
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).cuda()
    other = copy.deepcopy(model)
    assert all(t.is_cuda for t in [*other.parameters(), *other.buffers()])
    assert all(isinstance(t, torch.nn.Parameter) for t in other.parameters())


def test_generators():
    g = torch.Generator(device="cuda").manual_seed(3)
    assert g.device.type == "cuda" and isinstance(g, torch.Generator)
    x = torch.randn(4, device="cuda", generator=g)
    assert torch.equal(x, torch.randn(4, device="cuda", generator=g.manual_seed(3)))
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.randn(4, device="cuda", generator=torch.Generator())
    torch.cuda.manual_seed_all(5)
    state = torch.cuda.get_rng_state()
    first = torch.rand(3, device="cuda")
    torch.cuda.set_rng_state(state)
    assert torch.equal(first, torch.rand(3, device="cuda"))
    assert len(torch.cuda.get_rng_state_all()) == 2
    assert isinstance(torch.default_generator, torch.Generator)


OPERATORS = {
    "with a parameter": lambda x, p: p * x - x / p,
    "with numbers": lambda x, p: 2 - (x + 1.5) * True // 1 % 3 + 2**x,
    "with numpy": lambda x, p: x * numpy.float32(2) + numpy.float64(1),
    "comparison with something else": lambda x, p: torch.tensor([(x == "x") is False, (x != None) is True]),  # noqa: E711
    "logic": lambda x, p: (x > 0) & ~(x > 1) | (x <= p) ^ (x >= p),
    "in place": lambda x, p: _in_place(x.clone()),
    "signs": lambda x, p: abs(-x),
    "square": lambda x, p: x**2,
    "product": lambda x, p: x @ p.T,
}


def _in_place(x):
    before = x
    x += 1
    x *= 2
    x -= x / 4
    x /= 3
    assert x is before
    return x


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    x, p = torch.randn(2, 3), torch.nn.Parameter(torch.rand(2, 3) + 1)
    expected = OPERATORS[name](x, p)
    result = OPERATORS[name](x.cuda(), torch.nn.Parameter(p.detach().cuda()))
    assert result.is_cuda or name.startswith("comparison")
    torch.testing.assert_close(result.detach().cpu(), expected.detach())


def test_operators_leave_to_others_what_is_theirs():
    class Reflected:
        def __radd__(self, other):
            return "reflected"

    class Own(torch.Tensor):
        pass

    x = torch.ones(3, device="cuda")
    assert x + Reflected() == "reflected"
    own = torch.ones(3).as_subclass(Own).cuda()
    assert (x + own).is_cuda and (own * x).is_cuda
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "text"
    with getattr(torch._C, "DisableTorchFunctionSubclass", torch._C.DisableTorchFunction)():
        assert type(x + 1) is torch.Tensor


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="from 2.0 on")
def test_operators_and_moves_within_a_mode():
    from torch.overrides import TorchFunctionMode

    seen = []

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    model = torch.nn.Linear(2, 2).cuda()
    x = torch.ones(2, device="cuda")
    with Mode():
        assert (x + 1).is_cuda and (-x).is_cuda and x.shape == (2,)
        assert not model.cpu().weight.is_cuda and model.cuda().weight.is_cuda
    assert "add" in seen and "neg" in seen


def test_facts():
    x, y = torch.ones(2, 3), torch.ones(2, 3, device="cuda")
    for name in ("shape", "dtype", "ndim", "layout", "is_leaf", "is_sparse", "is_quantized", "is_meta"):
        assert getattr(x, name) == getattr(y, name), name
        assert hasattr(getattr(type(y), name), "__get__")
    for name in ("size", "dim", "numel", "nelement", "stride", "storage_offset", "element_size", "is_contiguous", "is_floating_point"):
        assert getattr(x, name)() == getattr(y, name)(), name
    assert y.size(dim=1) == 3 and y.stride(0) == 3 and y.T.is_contiguous(memory_format=torch.contiguous_format) is False
    assert isinstance(y.shape, torch.Size)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors():
    parts = [torch.ones(2, 3), torch.ones(4, 3)]
    for x in (
        torch.nested.nested_tensor([part.cuda() for part in parts]),
        torch.nested.nested_tensor(parts, device="cuda"),
    ):
        assert x.is_cuda and x.is_nested and x.device == torch.device("cuda", 0)
        relu = torch.nn.functional.relu(x)
        assert relu.is_cuda and all(part.is_cuda for part in relu.unbind())
        padded = torch.nested.to_padded_tensor(x, 0.0)
        assert padded.is_cuda and padded.shape == (2, 4, 3) and padded.sum().item() == 18
    with_grad = torch.nested.nested_tensor([part.cuda() for part in parts], requires_grad=True)
    assert with_grad.requires_grad and with_grad.is_leaf
    assert not torch.nested.nested_tensor(parts).is_cuda
