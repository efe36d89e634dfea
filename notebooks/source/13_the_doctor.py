# %% [markdown]
# # 13 · The doctor
#
# **After this notebook you will know**
# - how to find the layer that cuts a stream, or never ends it, from outside,
# - what tells a limit on silence from a limit on the whole, and both from a server that died,
# - what a diagnosis rests on, and what would refute it.
#
# *About 15 minutes. Needs: [10](10_cut_in_production.ipynb), and nginx (`make parts`).*
#
# Somebody is on call, tokens stop, and five layers each have three time-outs. `stream-lab doctor URL` asks the address for a stream over a
# raw socket, since HTTP clients hide how a connection ended, and gives one cause. Here is how it comes to it.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from stream_lab import Evidence, open_endpoint
from stream_lab.doctor import Target, examine
from stream_lab.doctor.console import timeline
from stream_lab.processes import Gateway, Nginx, serve

evidence = Evidence("13")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## A model that babbles
#
# The server of this kit's story: it goes on until somebody leaves. The doctor asks without `max_tokens`, since whether anything else bounds
# an answer is one of its questions, and listens for a while.

# %%
model = Target.of(server.base_url, model=server.model)
babbling = examine(model, watch=TIMEOUT).diagnosis
print(babbling.cause)
print(babbling.meaning)
print("Next:", babbling.next)

# %% [markdown]
# ## Two limits that look the same
#
# An application that streams for two seconds, with a pause in the middle. Before it stands a gateway (a stand-in) that ends connections: one
# after a silence, another after a time in all.
#
# **Predict first.** Both cut the stream at about the same moment. How can one tell from outside which limit it was? (One may ask more than
# once.)

# %%
app = FastAPI()


@app.get("/answer")
async def answer(pause: float = 1.5):
    async def words():
        for number in range(20):
            yield f"word {number} "
            await asyncio.sleep(0.04 + (pause if number == 8 else 0))

    return StreamingResponse(words(), media_type="text/plain")


service = serve(app)
silence = Gateway(service.url, idle=1.0)
in_all = Gateway(service.url, longest=1.4)


async def examine_each(places, path):
    """Ask through each of them, side by side, and directly as well."""
    direct = Target.of(service.url + path)
    return dict(
        zip(
            places,
            await asyncio.gather(
                *(
                    asyncio.to_thread(examine, direct.at(place.url), direct=direct, watch=5)
                    for place in places.values()
                )
            ),
            strict=True,
        )
    )


found = await examine_each({"limit on silence": silence, "limit in all": in_all}, "/answer")
for name, examination in found.items():
    print(f"{name:17}", examination.diagnosis.cause, "|", examination.diagnosis.layer)

# %% tags=["nbval-ignore-output"]
for name, examination in found.items():
    print(name)
    for heard in examination.heard["proxied"]:
        print("   ", timeline(heard), f"{heard.ended:.1f} s")
    print("   ", examination.diagnosis.evidence[-2])

# %% [markdown]
# The doctor asks twice more, and holds the third request back after it has connected. A limit on silence does not care: the silence before
# the cut is the same. A limit in all has counted from the connection: it cuts as much earlier as the request came later. Each row is one
# stream; the last came late.
#
# ## A server that dies, and a server that blocks
#
# No limit at all: one handler raises in the middle, another calls something that waits without giving way.


# %%
@app.get("/dies")
async def dies():
    async def words():
        for number in range(9):
            yield f"word {number} "
            await asyncio.sleep(0.04)
        raise ConnectionError("the vector store is down")

    return StreamingResponse(words(), media_type="text/plain")


@app.get("/blocks")
async def blocks():
    async def words():
        for number in range(24):
            yield f"word {number} "
            await asyncio.sleep(0.04)
            if number == 14:
                slow_lookup()  # no await: nobody else's stream moves either

    return StreamingResponse(words(), media_type="text/plain")


def slow_lookup():
    import time

    time.sleep(1.2)


for name in ("dies", "blocks"):
    found[name] = examine(Target.of(f"{service.url}/{name}"), watch=8)
    print(f"{name:7}", found[name].diagnosis.cause)

# %% [markdown]
# A pause alone is no illness: a tool may be called. So when a stream stands still the doctor listens to three that begin one after the other.
# A pause of the stream's own comes at the same *place* in each; a blocked loop stops all of them at the same *time*.
#
# ## Which layer?
#
# With `direct` the doctor asks past the proxies as well and names the first layer that differs. Here an nginx compresses what the
# application sends, and another one does nothing of the kind.

# %%
compressing = Nginx(service.url, "gzip on;", "gzip_types text/plain;", "gzip_min_length 0;")
plain = Nginx(service.url)
proxied = await examine_each({"nginx, gzip": compressing, "nginx": plain}, "/answer?pause=0.3")
for name, examination in proxied.items():
    diagnosis = examination.diagnosis
    print(f"{name:12}", diagnosis.cause, "|", diagnosis.layer or "every layer")

# %% [markdown]
# On the command line:
#
# ```text
# stream-lab doctor http://host/chat --post '{"question": "Why?"}' --direct http://host:8000/v1
# stream-lab doctor http://host:8000/v1 --logs error.log --json
# ```
#
# The status is 0 for a healthy stream, 1 for a cause, 2 where it could not ask. How often it is right, on stacks whose fault is known,
# stands in [docs/doctor.md](../docs/doctor.md).

# %% [markdown]
# ## What was shown

# %%
evidence.claim("a model that babbles", expected="never_ends", found=babbling.cause)
for name, expected in {
    "limit on silence": "idle_cut, proxied",
    "limit in all": "total_cut, proxied",
    "dies": "server_ended, ",
    "blocks": "loop_blocked, ",
    "nginx, gzip": "buffered, proxied",
    "nginx": "healthy, ",
}.items():
    diagnosis = {**found, **proxied}[name].diagnosis
    evidence.claim(name, expected=expected, found=f"{diagnosis.cause}, {diagnosis.layer}")
for part in (compressing, plain, silence, in_all, service, server):
    part.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# A stream is cut three times: after 31.0, 47.2 and 33.9 s, each time 30.0 s after its last token. Which cause is it? Write its name.

# %%
from stream_lab.experiment.exercise import check

cause = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
check(cause, "idle_cut", hint="What is the same in all three: the time in all, or the silence?")

# %% [markdown]
# ---
# Before: [12 · Loops inside loops](12_loops_inside_loops.ipynb) · Back to: [00 · Start here](00_start_here.ipynb)
