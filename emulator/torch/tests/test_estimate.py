"""What is counted for an estimate of a real card's time."""

import textwrap


def counted(run, source):
    """The floating point operations of a program, and the bytes."""
    report = "from gx_cuda import estimate\nfound = estimate.report()['ops']\n" \
             "print(sum(f * n for _, f, _, n in found), sum(b * n for kind, _, b, n in found if kind != 'bus'))"  # fmt: skip
    done = run("import torch\n" + textwrap.dedent(source) + report, GX_GPU_ESTIMATE="1")
    assert done.code == 0, done.err
    return [int(number) for number in done.out.split()]


def test_product(run):
    flops, size = counted(run, "a = torch.ones(20, 30, device='cuda') @ torch.ones(30, 40, device='cuda')\n")
    assert flops == 2 * 20 * 30 * 40
    assert size >= 4 * (20 * 30 + 30 * 40 + 20 * 40)


def test_encoder_in_inference(run):
    flops, _ = counted(run, """
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).cuda().eval()
        padding = torch.tensor([[False] * 2 + [True] * 3, [False] * 5]).cuda()
        with torch.no_grad():
            layer(torch.ones(2, 5, 8, device='cuda'), src_key_padding_mask=padding)
    """)  # fmt: skip
    tokens, width, inner, longest = 10, 8, 16, 5
    products = 2 * tokens * (4 * width * width + 2 * width * inner)
    assert flops >= products + 4 * tokens * longest * width


def test_nested_tensors(run):
    _, size = counted(run, """
        x = torch.nested.nested_tensor([torch.ones(2, 100).cuda(), torch.ones(4, 100).cuda()])
        y = torch.nn.functional.relu(x)
        assert y.is_cuda
    """)  # fmt: skip
    assert size >= 4 * 6 * 100
