# %% [markdown]
# # 11 · Solutions

# %% exercise 1
def repaired(ask):
    app = FastAPI()

    @app.get("/answer")
    def answer(tokens: int):  # without `async`, FastAPI runs the handler in a thread
        return {"text": "".join(ask(tokens))}

    return app


# %% exercise 2
repairs = {
    "A": "longer timeout",  # or another worker class: `sync` sends no heartbeat during a request
    "B": "unblock the code",  # a healthy loop sends its heartbeat, however long its streams are
    "C": "unblock the code",  # gunicorn sent the SIGKILL itself and guesses at the reason
    "D": "state outside the workers",  # the conversation is in the memory of one of the four
}
