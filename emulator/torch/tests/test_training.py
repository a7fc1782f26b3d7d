"""Modules, autograd, optimisers, mixed precision: the same numbers as on the CPU."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

HALF_ON_CPU = tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2] if n.isdigit()) >= (2, 3)


def _model():
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.0), nn.Linear(16, 3))


def _train(model, device, optimizer, steps=20, **options):
    model = copy.deepcopy(model).to(device)
    chosen = optimizer(model.parameters(), **options)
    torch.manual_seed(1)
    data = torch.randn(steps, 8, 6)
    target = torch.randint(0, 3, (steps, 8))
    losses = []
    for x, y in zip(data, target):
        def closure():
            chosen.zero_grad()
            loss = F.cross_entropy(model(x.to(device)), y.to(device))
            loss.backward()
            return loss
        if optimizer is torch.optim.LBFGS:
            loss = chosen.step(closure)
        else:
            loss = closure()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            chosen.step()
        losses.append(float(loss))
    return losses, model, chosen


OPTIMISERS = {
    "SGD": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "Adam": (torch.optim.Adam, {}),
    "AdamW": (torch.optim.AdamW, {"weight_decay": 0.1}),
    "AdamW one by one": (torch.optim.AdamW, {"foreach": False}),
    "AdamW at once": (torch.optim.AdamW, {"foreach": True}),
    "RMSprop": (torch.optim.RMSprop, {}),
    "Adagrad": (torch.optim.Adagrad, {}),
    "LBFGS": (torch.optim.LBFGS, {"max_iter": 3}),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_same_losses(name):
    optimizer, options = OPTIMISERS[name]
    model = _model()
    expected, _, _ = _train(model, "cpu", optimizer, **options)
    losses, trained, chosen = _train(model, "cuda", optimizer, **options)
    assert losses == pytest.approx(expected, rel=1e-4)
    assert all(p.is_cuda and p.grad.is_cuda and isinstance(p, nn.Parameter) for p in trained.parameters())
    state = [t for s in chosen.state_dict()["state"].values() for k, t in s.items() if torch.is_tensor(t) and k != "step"]
    assert all(t.is_cuda for t in state)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_fused(optimizer):
    model = _model()
    try:
        losses, _, _ = _train(model, "cuda", optimizer, fused=True, weight_decay=0.1)
    except TypeError:
        pytest.skip("this version has no fused optimiser of that name")
    expected, _, _ = _train(model, "cpu", optimizer, weight_decay=0.1)
    assert losses == pytest.approx(expected, rel=1e-3)


def test_optimiser_made_before_the_move():
    model = nn.Linear(2, 2)
    chosen = torch.optim.SGD(model.parameters(), lr=1.0)
    model.cuda()
    before = model.weight.detach().clone()
    model(torch.ones(1, 2, device="cuda")).sum().backward()
    chosen.step()
    assert not torch.equal(before, model.weight)


MODULES = {
    "conv": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)), (2, 2, 8, 8)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 2), (2, 3, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 2), (1, 2, 4, 4)),
    "lstm": (lambda: nn.LSTM(4, 5, 2, batch_first=True), (2, 3, 4)),
    "gru": (lambda: nn.GRU(4, 5, bidirectional=True), (2, 3, 4)),
    "rnn": (lambda: nn.RNN(4, 5), (2, 3, 4)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), (2, 3, 8)),
    "transformer": (lambda: _Transformer(), (3, 2, 8)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 5)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d(2), (1, 2, 6, 6)),
    "upsample": (lambda: nn.Upsample(scale_factor=2), (1, 2, 3, 3)),
}


class _Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0)

    def forward(self, x):
        return self.inner(x, x, tgt_mask=nn.Transformer.generate_square_subsequent_mask(x.shape[0]).to(x.device))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, training):
    make, shape = MODULES[name]
    model = make().train(training)
    x = torch.randn(shape)
    other = copy.deepcopy(model).cuda()
    y = x.cuda().requires_grad_()
    expected, result = model(x), other(y)
    expected = expected[0] if isinstance(expected, tuple) else expected
    result = result[0] if isinstance(result, tuple) else result
    assert result.is_cuda
    torch.testing.assert_close(result.detach().cpu(), expected.detach(), rtol=1e-4, atol=1e-5)
    result.sum().backward()
    assert y.grad.is_cuda and all(p.grad.is_cuda for p in other.parameters() if p.grad is not None)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("grad", [True, False])
def test_padded_sequences(grad, dtype):
    """In inference the result has zeros where the input is padded, and ends with the longest sequence."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x, padding = torch.randn(2, 5, 8), torch.tensor([[False] * 2 + [True] * 3, [False] * 4 + [True]])
    other = copy.deepcopy(model).cuda().to(dtype)
    with torch.set_grad_enabled(grad):
        expected = model(x, src_key_padding_mask=padding)
        result = other(x.cuda().to(dtype), src_key_padding_mask=padding.cuda())
    assert result.is_cuda and result.dtype is dtype and result.shape == expected.shape
    tolerance = {} if dtype is torch.float32 else {"rtol": 0.1, "atol": 0.1}
    torch.testing.assert_close(result.detach().cpu().float(), expected.detach(), **tolerance)


def test_packed_sequences():
    lstm = nn.LSTM(3, 4, batch_first=True)
    x, lengths = torch.randn(2, 5, 3), torch.tensor([5, 3])

    def run(lstm, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        out, _ = lstm(packed)
        return nn.utils.rnn.pad_packed_sequence(out, batch_first=True)

    expected, _ = run(lstm, x)
    result, counts = run(copy.deepcopy(lstm).cuda(), x.cuda())
    assert result.is_cuda and not counts.is_cuda
    torch.testing.assert_close(result.cpu(), expected)


def test_modules_and_their_state():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).cuda()
    assert all(t.is_cuda for t in model.state_dict().values())
    weight = model[0].weight
    assert model.cpu()[0].weight is weight and not weight.is_cuda
    assert model.to("cuda", torch.float64)[0].weight is weight and weight.dtype is torch.float64 and weight.is_cuda
    model.load_state_dict({k: v.cpu() for k, v in model.state_dict().items()})
    assert all(t.is_cuda for t in model.state_dict().values())
    assert model.half()[0].weight.is_cuda
    meta = nn.Linear(3, 3, device="meta").to_empty(device="cuda")
    assert meta.weight.is_cuda and isinstance(meta.weight, nn.Parameter)
    model[0].weight.data = torch.zeros(2, 2, device="cuda")
    assert model[0].weight.is_cuda and isinstance(model[0].weight, nn.Parameter)
    model.register_buffer("more", torch.ones(2))
    assert model.cuda().more.is_cuda
    assert sum(p.numel() for p in model.parameters()) == 10
    model.eval().requires_grad_(False)
    with torch.no_grad():
        assert nn.DataParallel(nn.Linear(2, 2).cuda(), device_ids=[0])(torch.ones(1, 2).cuda()).is_cuda


class _Twice(torch.autograd.Function):
    seen = []

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        _Twice.seen.append(x.is_cuda)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        _Twice.seen += [grad.is_cuda, x.is_cuda]
        result = grad * 2 + torch.zeros(3, device=grad.device) + 0 * x
        _Twice.seen.append(result.is_cuda)
        return result


def test_autograd():
    x = torch.randn(3, device="cuda", requires_grad=True)
    _Twice.seen = []
    hooked = []
    y = _Twice.apply(x)
    y.register_hook(lambda grad: hooked.append(grad.is_cuda))
    y.sum().backward()
    assert _Twice.seen == [True, True, True, True] and hooked == [True]
    assert x.grad.is_cuda and x.grad.tolist() == [2, 2, 2]
    (grad,) = torch.autograd.grad((x**2).sum(), x)
    assert grad.is_cuda and torch.allclose(grad, 2 * x.detach())
    (grad,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(grad.sum(), x)
    assert torch.allclose(second, 6 * x.detach(), atol=1e-5)
    torch.autograd.backward([(x * 2).sum()])
    assert not (x * 2).detach().requires_grad and (x * 2).grad_fn is not None
    cpu = torch.ones(2, requires_grad=True)
    (cpu.cuda() * 3).sum().backward()
    assert not cpu.grad.is_cuda and cpu.grad.tolist() == [3, 3]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint(reentrant):
    from torch.utils.checkpoint import checkpoint

    model = _model().cuda()
    x = torch.randn(4, 6, device="cuda", requires_grad=True)
    model(x).sum().backward()
    expected, x.grad = x.grad, None
    checkpoint(model, x, use_reentrant=reentrant).sum().backward()
    torch.testing.assert_close(x.grad, expected)


def test_module_hooks():
    seen = []
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).cuda()
    model[0].register_forward_hook(lambda m, i, o: seen.append(o.is_cuda))
    model[1].register_full_backward_hook(lambda m, i, o: seen.append(o[0].is_cuda))
    model(torch.ones(1, 2, device="cuda")).sum().backward()
    assert seen == [True, True]


@pytest.mark.skipif(not hasattr(torch, "func"), reason="from 2.0 on")
def test_transforms():
    x = torch.randn(3, 2, device="cuda")
    w = torch.randn(2, device="cuda")
    result = torch.func.vmap(lambda row: (row * w).sum())(x)
    assert result.is_cuda
    torch.testing.assert_close(result, x @ w)
    grad = torch.func.grad(lambda v: (v**2).sum())(w)
    assert grad.is_cuda and torch.allclose(grad, 2 * w)


def test_scripts():
    def double(x):
        return x * 2 + torch.zeros(2)

    traced = torch.jit.trace(nn.Linear(2, 2).cuda(), torch.ones(1, 2, device="cuda"))
    assert traced(torch.ones(1, 2, device="cuda")).shape == (1, 2)
    assert torch.jit.script(double)(torch.ones(2)).tolist() == [2, 2]


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="from 2.0 on")
def test_compile(capfd):
    model = torch.compile(nn.Linear(2, 2).cuda())
    assert model(torch.ones(1, 2, device="cuda")).is_cuda

    @torch.compile(fullgraph=True)
    def double(x):
        return x * 2

    assert double(torch.ones(2, device="cuda")).tolist() == [2, 2]


AUTOCASTS = {
    "torch.autocast": lambda **o: torch.autocast("cuda", **o),
    "torch.autocast by keyword": lambda **o: torch.autocast(device_type="cuda", **o),
    "torch.cuda.amp.autocast": lambda **o: torch.cuda.amp.autocast(**o),
    "torch.amp.autocast": lambda **o: torch.amp.autocast("cuda", **o) if hasattr(torch.amp, "autocast") else torch.autocast("cuda", **o),
}


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("name", AUTOCASTS)
def test_autocast(name):
    model = nn.Linear(4, 4).cuda()
    x = torch.randn(2, 4, device="cuda")
    with AUTOCASTS[name]():
        assert torch.is_autocast_enabled()
        half = model(x)
        with AUTOCASTS[name](enabled=False):
            assert model(x).dtype is torch.float32
    assert half.dtype is (torch.float16 if HALF_ON_CPU else torch.bfloat16) and half.is_cuda
    assert not torch.is_autocast_enabled()
    with AUTOCASTS[name](dtype=torch.bfloat16):
        assert model(x).dtype is torch.bfloat16
    torch.cuda.set_device(1)
    assert torch.cuda.get_device_name() == "Tesla T4"


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_grad_scaler(dtype):
    model = _model().cuda()
    chosen = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scaler = torch.cuda.amp.GradScaler(init_scale=2.0**10, growth_interval=4)
    assert scaler.is_enabled()
    losses = []
    torch.manual_seed(2)
    x, y = torch.randn(8, 6, device="cuda"), torch.randint(0, 3, (8,), device="cuda")
    for step in range(10):
        chosen.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=dtype):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        if step == 5:
            next(model.parameters()).grad[0] = float("inf")
            before = next(model.parameters()).detach().clone()
        scaler.unscale_(chosen)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(chosen)
        scaler.update()
        if step == 5:
            assert torch.equal(before, next(model.parameters()))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert scaler.get_scale() == 2.0**11  # grown at 4, halved at 6, grown at 10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_model(dtype):
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)).to("cuda", dtype)
    x = torch.randn(3, 4, device="cuda", dtype=dtype)
    result = model(x)
    assert result.dtype is dtype and result.is_cuda
    result.float().sum().backward()
    assert all(p.grad.dtype is dtype for p in model.parameters())
    probabilities = torch.softmax(result, -1)
    assert torch.multinomial(probabilities.float(), 1).is_cuda and probabilities.dtype is dtype


def test_two_cards():
    first, second = nn.Linear(4, 4).to("cuda:0"), nn.Linear(4, 2).to("cuda:1")
    x = torch.randn(2, 4, device="cuda:0", requires_grad=True)
    result = second(first(x).to("cuda:1"))
    assert result.get_device() == 1
    result.sum().backward()
    assert x.grad.get_device() == 0 and first.weight.grad.get_device() == 0 and second.weight.grad.get_device() == 1
    with pytest.raises(RuntimeError, match="at least two devices|Expected all tensors"):
        second(first(x))
    chosen = torch.optim.Adam([*first.parameters(), *second.parameters()])
    chosen.step()


def test_data_parallel():
    model = nn.Linear(4, 3).cuda()
    both = nn.DataParallel(model)
    assert both.device_ids == [0, 1]
    x = torch.randn(6, 4, device="cuda")
    result = both(x)
    assert result.get_device() == 0
    torch.testing.assert_close(result, model(x))
    result.sum().backward()
    torch.testing.assert_close(model.weight.grad, x.sum(0).expand(3, 4))


def test_threads():
    from concurrent.futures import ThreadPoolExecutor

    model = nn.Linear(8, 8).cuda()

    def work(n):
        x = torch.full((2, 8), float(n), device="cuda")
        y = model(x)
        y.sum().backward()
        return y.is_cuda and torch.zeros(2, device="cuda").is_cuda

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(40)))


@pytest.mark.skipif(not HALF_ON_CPU, reason="from 2.3 on")
@pytest.mark.parametrize("backend", ["MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION"])
def test_attention_by_a_kernel(backend):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    x = torch.randn(2, 2, 5, 4)
    expected = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    y = x.cuda()
    before = torch.backends.cuda.math_sdp_enabled()
    with sdpa_kernel(getattr(SDPBackend, backend)):
        result = F.scaled_dot_product_attention(y, y, y, is_causal=True)
    assert result.is_cuda and torch.backends.cuda.math_sdp_enabled() is before
    torch.testing.assert_close(result.cpu(), expected)


def test_loss_with_lengths_on_the_cpu():
    scores, targets = torch.randn(5, 2, 4).log_softmax(2), torch.tensor([[1, 2], [1, 3]])
    lengths = torch.tensor([5, 5]), torch.tensor([2, 2])
    result = F.ctc_loss(scores.cuda(), targets.cuda(), *lengths)
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), F.ctc_loss(scores, targets, *lengths))


def test_settings():
    cache = torch.backends.cuda.cufft_plan_cache
    assert cache.size == 0 and cache[1].max_size > 0
    cache.max_size = 10
    cache.clear()
    with torch.backends.cudnn.flags(enabled=False):
        assert F.conv2d(torch.ones(1, 1, 2, 2, device="cuda"), torch.ones(1, 1, 1, 1, device="cuda")).is_cuda
