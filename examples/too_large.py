"""A language model that is too large for one card, and fits the next.

    gx run examples/too_large.py

It has the shape of Llama 3 with 8 billion parameters in float16: 15 GiB. A T4
has 14.56 GiB. Where there is no GPU the cards are emulated: then the image takes
gigabytes, but the model hardly any memory, for its weights are never written.
"""

import gx

image = gx.Image.debian_slim(python_version="3.11").pip_install("torch==2.3.0", "transformers==4.41.0", "accelerate==0.30.0")

app = gx.App("too-large", image=image)


@app.cls(gpu="T4", timeout=600)
class Model:
    @gx.enter()
    def load(self):
        import torch
        from accelerate import init_empty_weights
        from transformers import AutoModelForCausalLM, LlamaConfig

        config = LlamaConfig(
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            vocab_size=128256,
        )
        with init_empty_weights():
            model = AutoModelForCausalLM.from_config(config, torch_dtype=torch.float16)
        self.model = model.to_empty(device="cuda:0")

    @gx.method()
    def logits(self) -> str:
        import torch

        with torch.no_grad():
            logits = self.model(torch.tensor([[1, 2, 3]], device="cuda")).logits
        used = torch.cuda.memory_allocated() / (1 << 30)
        return f"logits of {tuple(logits.shape)} on {logits.device}, {used:.2f} GiB in use"


@app.local_entrypoint()
def main():
    try:
        print("T4:", Model().logits.remote())
    except Exception as error:
        print("T4:", str(error).splitlines()[0])
    print("A10G:", Model.with_options(gpu="A10G")().logits.remote())
