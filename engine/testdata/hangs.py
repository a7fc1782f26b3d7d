import time

print("importing for a long time")
time.sleep(600)


def square(x):
    return x * x
