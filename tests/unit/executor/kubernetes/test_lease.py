"""The lease: one holder of a campaign, also when holders die, lose the API server or are replaced."""

from __future__ import annotations

import threading

import pytest

from controller.errors import ClusterError, SettingsError
from controller.executor.kubernetes.client import LEASES, Client
from controller.executor.kubernetes.lease import Lease, LeaseLost
from controller.executor.kubernetes.rights import check_free
from controller.settings.file import load_settings
from tests.support.kubernetes_api import ScriptedApi, client_of
from tests.support.waiting import wait_until


def make_lease(client: Client, holder: str, *, duration: float = 4.0) -> Lease:
    return Lease(client, "demo", holder=holder, duration=duration)


def stored() -> ScriptedApi:
    api = ScriptedApi()
    api.keep_objects()
    return api


def test_second_holder_is_refused_while_the_first_renews() -> None:
    with client_of(stored()) as client:
        first = make_lease(client, "first")
        first.acquire()
        try:
            with pytest.raises(ClusterError, match="campaign demo is run by first"):
                make_lease(client, "second").acquire()
            first.guard()
        finally:
            first.release()


def test_a_study_is_refused_before_it_begins_while_the_campaign_runs_and_told_when_to_ask() -> None:
    settings = load_settings(None, ["tag=demo", "executor.kubernetes.lease_seconds=4"])
    with client_of(stored()) as client:
        campaign = make_lease(client, "campaign")
        campaign.acquire()
        try:
            with pytest.raises(SettingsError, match="is run by campaign in namespace runs; a study needs the campaign"):
                check_free(settings, client=client)
        finally:
            campaign.release()

        check_free(settings, client=client)


def test_released_lease_is_taken_at_once() -> None:
    with client_of(stored()) as client:
        first = make_lease(client, "first", duration=60)
        first.acquire()
        first.release()
        second = make_lease(client, "second", duration=60)
        second.acquire()

        second.guard()
        second.release()


def test_dead_holders_lease_expires_and_counts_a_transition() -> None:
    dead = {"metadata": {"name": "autoresearch-demo"}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1}}
    with client_of(stored()) as client:
        client.create(LEASES, dead)
        lease = make_lease(client, "next")
        lease.acquire()
        lease.release()

        assert client.get(LEASES, "autoresearch-demo")["spec"]["leaseTransitions"] == 1


def test_only_one_of_many_takes_an_expired_lease() -> None:
    dead = {"metadata": {"name": "autoresearch-demo"}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1}}
    outcomes: list[str] = []
    with client_of(stored()) as client:
        client.create(LEASES, dead)
        leases = [make_lease(client, f"holder-{i}") for i in range(6)]

        def compete(lease: Lease) -> None:
            try:
                lease.acquire()
                outcomes.append("held")
            except ClusterError:
                outcomes.append("refused")

        threads = [threading.Thread(target=compete, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for lease in leases:
            lease.release()

    assert sorted(outcomes) == ["held"] + 5 * ["refused"]


def test_holder_that_cannot_renew_stops_writing_before_its_time_is_over() -> None:
    now = [0.0]
    with client_of(stored()) as client:
        lease = Lease(client, "demo", holder="me", duration=10, clock=lambda: now[0])
        lease.acquire()
        now[0] = 7.9
        lease.guard()
        now[0] = 8.1

        with pytest.raises(LeaseLost, match="could not be renewed"):
            lease.guard()
        lease.release()


def test_holder_that_was_replaced_stops_for_good() -> None:
    with client_of(stored()) as client:
        lease = make_lease(client, "first")
        lease.acquire()
        found = client.get(LEASES, "autoresearch-demo")
        client.replace(LEASES, "autoresearch-demo", found | {"spec": found["spec"] | {"holderIdentity": "thief"}})

        wait_until(lambda: "taken over by thief" in lease.lost, what="the loss of the lease")
        lease.release()
        assert client.get(LEASES, "autoresearch-demo")["spec"]["holderIdentity"] == "thief"
