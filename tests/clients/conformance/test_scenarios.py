"""All clients run the same scenarios against the same scripted server, and must report the same."""

import pytest

from tests.clients.conformance.conductor import Client, Conductor
from tests.clients.conformance.scenario import Scenario, all_scenarios
from tests.clients.scripted import ScriptedServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda scenario: scenario.name)
async def test_a_client_does_what_the_scenario_says(client: Client, scenario: Scenario) -> None:
    async with ScriptedServer() as server:
        await Conductor(server, client).play(scenario)
