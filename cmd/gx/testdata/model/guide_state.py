# limit: 240
"""Passages of a guide to Modal about volumes, mounts and dicts, as they are written there.

A script of the image stands for the hub's command line, and a small file for the model.
"""

import pathlib

import modal

if modal.is_local():
    pathlib.Path("prompts.yaml").write_text("system: be brief\n")
    pathlib.Path("huggingface-cli").write_text(
        """#!/usr/bin/env python3
import os, sys
model, directory = sys.argv[2], sys.argv[sys.argv.index("--local-dir") + 1]
assert sys.argv[1] == "download" and sys.argv[sys.argv.index("--token") + 1] == os.environ["HF_TOKEN"]
os.makedirs(directory, exist_ok=True)
with open(directory + "/config.json", "w") as f:
    f.write('{"model": "%s"}' % model)
with open(directory + "/model.safetensors", "wb") as f:
    f.truncate(5 << 20)
"""
    )

app = modal.App("guide-state")
inference_image = (
    modal.Image.debian_slim().add_local_file("huggingface-cli", "/usr/local/bin/huggingface-cli", copy=True).run_commands("chmod +x /usr/local/bin/huggingface-cli")
)

# Create a named volume — persists across function runs
model_volume = modal.Volume.from_name(
    "llm-model-weights",
    create_if_missing=True,
)


@app.function(
    image=inference_image,
    volumes={"/models": model_volume},
    timeout=3600,
    secrets=[modal.Secret.from_dict({"HF_TOKEN": "hf_test"})],
)
def download_model_weights(model_id: str):
    """Run once to populate the volume — not called on every inference."""
    import os
    import subprocess

    subprocess.run(
        [
            "huggingface-cli", "download",
            model_id,
            "--local-dir", f"/models/{model_id.replace('/', '--')}",
            "--token", os.environ["HF_TOKEN"],
        ],
        check=True,
    )  # fmt: skip
    # IMPORTANT: commit() makes writes visible to other containers
    model_volume.commit()
    print(f"Downloaded {model_id} to volume")


@app.function(
    image=inference_image,
    volumes={"/models": model_volume},  # same volume, read-only for inference
    timeout=120,
)
def infer_from_volume(prompt: str) -> str:
    import json
    import os

    model_path = "/models/mistralai--Mistral-7B-Instruct-v0.2"
    assert os.path.getsize(f"{model_path}/model.safetensors") == 5 << 20
    with open(f"{model_path}/config.json") as f:
        return f"{json.load(f)['model']}: {prompt}"


@app.function(
    volumes={"/models": model_volume, "/checkpoints": modal.Volume.from_name("training-checkpoints", create_if_missing=True)},
    timeout=10800,  # 3 hours max
)
def nightly_fine_tuning():
    with open("/checkpoints/model_weights.bin", "wb") as f:
        f.write(b"weights")
    # Persist checkpoint to volume
    model_volume.commit()


@app.function(mounts=[modal.Mount.from_local_file("./prompts.yaml", remote_path="/app/prompts.yaml")])
def prompt() -> str:
    return pathlib.Path("/app/prompts.yaml").read_text()


results_dict = modal.Dict.from_name("job-results", create_if_missing=True)


@app.function()
def process(job: int) -> bool:
    """Each job is done once, however often it comes."""
    if not results_dict.put(job, "running", skip_if_exists=True):
        return False
    results_dict[job] = job * job
    return True


@app.local_entrypoint()
def prepare():
    results_dict.clear()
    # Run this once before deploying the inference function
    download_model_weights.remote("mistralai/Mistral-7B-Instruct-v0.2")
    assert infer_from_volume.remote("hello") == "mistralai/Mistral-7B-Instruct-v0.2: hello"
    nightly_fine_tuning.remote()
    assert prompt.remote() == "system: be brief\n"
    assert sum(process.map([1, 2, 3, 2, 1, 3, 3])) == 3
    assert dict(results_dict.items()) == {1: 1, 2: 4, 3: 9}
    print("ok")
