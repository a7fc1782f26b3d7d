"""Real models of transformers, accelerate, sentence-transformers and PEFT, small and made from a configuration."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="pip install transformers accelerate sentence-transformers peft")
accelerate = pytest.importorskip("accelerate")

CUDA = torch.device("cuda:0")
DTYPE = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small Llama and a tokenizer of whole words, saved as a user's would be."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    place = tmp_path_factory.mktemp("model")
    words = ["<pad>", "<unk>", "<s>", "</s>", *"the a cat dog sat on mat explain transformers in one paragraph .".split()]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    fast.save_pretrained(place)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    return str(place)


def _load(folder, **options):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **options)


@pytest.fixture
def tokenizer(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("where", ["cuda:0", "cuda", "auto", {"": 0}, {"": "cuda:0"}, 0])
def test_device_map(folder, tokenizer, where):
    model = _load(folder, device_map=where)
    assert {p.device for p in model.parameters()} == {CUDA}
    inputs = tokenizer("the cat sat", return_tensors="pt").to("cuda")
    assert inputs["input_ids"].is_cuda
    with torch.no_grad():
        logits = model(input_ids=inputs["input_ids"]).logits
    assert logits.device == CUDA
    expected = _load(folder)(input_ids=inputs["input_ids"].cpu()).logits
    torch.testing.assert_close(logits.cpu(), expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sample", [False, True])
def test_generate(folder, tokenizer, dtype, sample):
    model = _load(folder, device_map="cuda:0", **{DTYPE: dtype})
    assert model.dtype is dtype
    inputs = tokenizer("explain transformers", return_tensors="pt").to("cuda")
    with torch.no_grad():
        out = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=8,
                             do_sample=sample, temperature=0.7 if sample else None, pad_token_id=0)  # fmt: skip
    assert out.device == CUDA and 3 <= out.shape[1] <= 10
    assert tokenizer.decode(out[0], skip_special_tokens=True)


@pytest.mark.parametrize("options", [{"device": 0}, {"device_map": "cuda:0"}, {"device": "cuda"}])
def test_pipeline(folder, options):
    pipe = transformers.pipeline("text-generation", model=folder, **{DTYPE: torch.float16}, **options)
    out = pipe("the cat", max_new_tokens=4, do_sample=True, temperature=0.7)
    assert "cat" in out[0]["generated_text"] and pipe.model.device == CUDA


def test_balanced(folder):
    model = _load(folder, device_map="balanced", max_memory={0: "60KB", 1: "1GB"})
    devices = {p.device.index for p in model.parameters()}
    assert devices == {0, 1}
    assert model(input_ids=torch.ones(1, 3, dtype=torch.long, device="cuda:0")).logits.is_cuda


def test_left_on_the_cpu(folder):
    model = _load(folder, device_map="cuda:0")
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        model(input_ids=torch.ones(1, 3, dtype=torch.long))


def test_max_memory():
    found = accelerate.utils.get_max_memory()
    assert 20 << 30 < found[0] < 23 << 30 and 13 << 30 < found[1] < 15 << 30


class _Words(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, i):
        ids = torch.arange(4, 12)
        return {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("precision", ["", "fp16", "bf16"])
def test_trainer(folder, tmp_path, precision):
    args = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=2, per_device_train_batch_size=4, learning_rate=1e-2, logging_steps=1,
        save_steps=4, report_to=[], max_grad_norm=1.0, gradient_accumulation_steps=1, **({precision: True} if precision else {}),
    )  # fmt: skip
    assert args.device == CUDA
    args._n_gpu = 1  # two cards would mean DataParallel
    trainer = transformers.Trainer(model=_load(folder), args=args, train_dataset=_Words())
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    assert next(trainer.model.parameters()).device == CUDA
    assert list(tmp_path.glob("checkpoint-*"))


def test_gradient_checkpointing(folder):
    model = _load(folder, device_map="cuda:0").train()
    model.gradient_checkpointing_enable()
    ids = torch.arange(4, 12, device="cuda")[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad.is_cuda for p in model.parameters() if p.grad is not None)


def test_accelerator(folder):
    accelerate.state.AcceleratorState._reset_state(True)
    accelerator = accelerate.Accelerator(mixed_precision="fp16")
    assert accelerator.device.type == "cuda"
    model = _load(folder)
    chosen = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = torch.utils.data.DataLoader(_Words(), batch_size=4)
    model, chosen, loader = accelerator.prepare(model, chosen, loader)
    for batch in loader:
        assert batch["input_ids"].device == CUDA
        loss = model(**batch).loss
        accelerator.backward(loss)
        chosen.step()
        chosen.zero_grad()
    assert torch.isfinite(loss)
    accelerate.state.AcceleratorState._reset_state(True)


def test_safetensors(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    save_file({"x": torch.arange(3.0, device="cuda")}, tmp_path / "file")
    for device in ("cuda", "cuda:0", 0):
        assert load_file(tmp_path / "file", device=device)["x"].device == CUDA


def test_lora(folder):
    peft = pytest.importorskip("peft")
    model = _load(folder, device_map="auto", **{DTYPE: torch.bfloat16})
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], lora_dropout=0.05, bias="none", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    assert {p.device for p in model.parameters()} == {CUDA}
    ids = torch.arange(4, 12, device="cuda")[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert any(p.grad is not None and p.grad.is_cuda for n, p in model.named_parameters() if "lora" in n)


def test_sentence_transformers(tmp_path):
    sentences = pytest.importorskip("sentence_transformers")
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the cat sat on a mat dog".split()]))
    config = transformers.BertConfig(vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    model = sentences.SentenceTransformer(str(tmp_path))
    assert next(model.parameters()).device == CUDA
    found = model.encode(["the cat sat", "a dog"], normalize_embeddings=True, batch_size=64)
    assert found.shape == (2, 16) and abs((found[0] ** 2).sum() - 1) < 1e-4
    assert model.encode("the mat", convert_to_tensor=True).device == CUDA


def test_bitsandbytes_says_so(folder, run):
    pytest.importorskip("bitsandbytes")
    source = """
import torch, transformers, bitsandbytes
try:
    layer = bitsandbytes.nn.Linear8bitLt(4, 4).cuda()
    print(layer(torch.ones(1, 4, device="cuda").half()))
except RuntimeError as error: print(error)
"""
    done = run(source)
    assert "bitsandbytes.nn.Linear8bitLt cannot run on the emulated NVIDIA A10G" in done.out, done.err
    assert "gx run --host NAME" in done.out
