"""While work goes on, only the newest request waits."""

import asyncio

from gan_research.explore.latest import Latest


def test_requests_in_between_are_left_out():
    done = []

    async def urgent(value):
        await asyncio.sleep(0)
        done.append(("urgent", value))

    async def later(value):
        done.append(("later", value))
        await asyncio.sleep(0)

    async def requests():
        latest = Latest([urgent, later])
        for value in range(5):
            latest.request(value)
        await asyncio.sleep(0)  # the newest of those, 4, is being worked on
        for value in range(5, 9):
            latest.request(value)
        while len(done) < 3:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        latest.request(9)
        await asyncio.sleep(0.01)

    asyncio.run(requests())
    assert done == [("urgent", 4), ("urgent", 8), ("later", 8), ("urgent", 9), ("later", 9)]
