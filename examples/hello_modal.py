# hello_modal.py
import modal

app = modal.App("hello-modal")


@app.function()
def square(x: int) -> int:
    import time

    time.sleep(0.5)  # simulate work
    return x * x


@app.local_entrypoint()
def main():
    # .remote() runs the function in a container
    result = square.remote(7)
    print(f"7² = {result}")  # 49

    # .map() runs the function in parallel for each input
    results = list(square.map([1, 2, 3, 4, 5]))
    print(results)  # [1, 4, 9, 16, 25]
