"""The sabotages of the mutation gate: which function, what is replaced by what, and which suites are to see it.

Each must change what the code does in a way that a network can notice; a change that cannot matter, because another
check stands behind it, is listed together with that other check (several edits), or not at all.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Edit(NamedTuple):
    """In the function `target` (`module:name` or `module:Class.name`) the text `old`, there once, becomes `new`."""

    target: str
    old: str
    new: str


class Mutant(NamedTuple):
    """Edits made together, and the suites that are run until one sees it."""

    name: str
    suites: tuple[str, ...]
    edits: tuple[Edit, ...]


def _m(name: str, suites: str, target: str, old: str, new: str) -> Mutant:
    return Mutant(name, tuple(suites.split(", ")), (Edit(target, old, new),))


def _several(name: str, suites: str, *edits: tuple[str, str, str]) -> Mutant:
    return Mutant(name, tuple(suites.split(", ")), tuple(Edit(*edit) for edit in edits))


ROUND = "consensus.round:"
VOTES = "consensus.votes:VoteKeeper."
DRIVER = "consensus.driver:Driver."
CORE = "consensus.height:Core."
TURNS = "qenex.proposers:"
WAL = "consensus.wal:"
SIGNER = "consensus.signer:"

ROUND_MUTANTS: Final = (
    _m(
        "no lock is taken",
        "rough, storm",
        ROUND + "_polka",
        "locked=event.value, locked_round=state.round, step=Step.PRECOMMIT",
        "step=Step.PRECOMMIT",
    ),
    _m(
        "a new round forgets the lock",
        "rough, storm",
        ROUND + "_start_round",
        "step=Step.PROPOSE,",
        "step=Step.PROPOSE, locked=None, locked_round=-1,",
    ),
    _m(
        "a fresh proposal is voted for against the lock",
        "rough, storm, byzantine",
        ROUND + "_proposal",
        "unlocked = state.locked_round == -1 or state.locked == event.value",
        "unlocked = True",
    ),
    _m(
        "an older polka unlocks",
        "directed",
        ROUND + "_proposal_with_polka",
        "free = state.locked_round <= event.pol_round or state.locked == event.value",
        "free = True",
    ),
    _m(
        "a block that is not acceptable is voted for",
        "invalid",
        ROUND + "_proposal",
        "if event.acceptable and unlocked:",
        "if unlocked:",
    ),
    _m(
        "the valid value is not remembered",
        "rough",
        ROUND + "_polka",
        "state._replace(valid=event.value, valid_round=state.round, polka_taken=True)",
        "state._replace(polka_taken=True)",
    ),
    _m(
        "the valid value is not proposed again",
        "rough",
        ROUND + "_start_round",
        "if state.valid is not None:",
        "if False:",
    ),
    _m(
        "a valid value is proposed as if new",
        "rough",
        ROUND + "_start_round",
        "Propose(event.round, state.valid, state.valid_round)",
        "Propose(event.round, state.valid, -1)",
    ),
    _m(
        "the proposer proposes the locked round as proof although a later one is known",
        "rough",
        ROUND + "_start_round",
        "Propose(event.round, state.valid, state.valid_round)",
        "Propose(event.round, state.valid, event.round - 1)",
    ),
    _m(
        "the timeout of a proposal is ignored",
        "absent, withholding",
        ROUND + "_timeout",
        "return _prevote(state, None)",
        "return state, NOTHING",
    ),
    _m(
        "the timeout of prevotes is ignored",
        "rough, storm",
        ROUND + "_timeout",
        "return _precommit_nil(state)",
        "return state, NOTHING",
    ),
    _m(
        "the timeout of precommits is ignored",
        "rough, storm",
        ROUND + "_timeout",
        "return state, (NewRound(state.round + 1),)",
        "return state, NOTHING",
    ),
    _m(
        "the timer of a proposal is not started",
        "absent, withholding",
        ROUND + "_start_round",
        "return started, (timer,)",
        "return started, ()",
    ),
    _m(
        "the timer of prevotes is not started",
        "rough, storm",
        ROUND + "_of_round",
        "state._replace(prevote_timed=True), (Schedule(state.round, Step.PREVOTE),)",
        "state._replace(prevote_timed=True), NOTHING",
    ),
    _m(
        "the timer of precommits is not started",
        "rough, storm",
        ROUND + "_of_round",
        "state._replace(precommit_timed=True), (Schedule(state.round, Step.PRECOMMIT),)",
        "state._replace(precommit_timed=True), NOTHING",
    ),
    _m(
        "a polka makes no precommit",
        "calm",
        ROUND + "_polka",
        "return locked, (Precommit(state.round, event.value),)",
        "return locked, NOTHING",
    ),
    _m(
        "a timeout of prevotes precommits the valid value",
        "rough, storm",
        ROUND + "_precommit_nil",
        "Precommit(state.round, None)",
        "Precommit(state.round, state.valid)",
    ),
    _m(
        "a timeout of a proposal prevotes the valid value",
        "rough, storm, lost log",
        ROUND + "_timeout",
        "return _prevote(state, None)",
        "return _prevote(state, state.valid)",
    ),
    _m(
        "a lock of the signer's memory is not adopted",
        "directed",
        ROUND + "_recall",
        "if event.locked_round > state.locked_round:",
        "if False:",
    ),
    _m(
        "a round's first votes leave the next round's timers off",
        "rough, storm",
        ROUND + "_start_round",
        "precommit_timed=False,",
        "",
    ),
    _m(
        "a polka of an earlier round hides that of the next",
        "rough, storm",
        ROUND + "_start_round",
        "polka_taken=False,",
        "",
    ),
)

VOTE_MUTANTS: Final = (
    _several(
        "nil is a value that can be locked",
        "rough",
        (DRIVER + "_one", "if polka is None:", "if False:"),
        (DRIVER + "_is_valid", "return bool(valid)", "return value is None or bool(valid)"),
    ),
    _m(
        "two thirds are enough",
        "thirds",
        VOTES + "_thresholds",
        "not tally.majority_told and 3 * power > 2 * total",
        "not tally.majority_told and 3 * power >= 2 * total",
    ),
    _m(
        "two thirds by division",
        "unequal, storm, thirds",
        VOTES + "_thresholds",
        "not tally.majority_told and 3 * power > 2 * total",
        "not tally.majority_told and power > total // 3 * 2",
    ),
    _m(
        "a half is a majority",
        "storm, rough",
        VOTES + "_thresholds",
        "not tally.majority_told and 3 * power > 2 * total",
        "not tally.majority_told and 2 * power > total",
    ),
    _m(
        "heads are counted instead of power",
        "unequal, storm",
        VOTES + "add",
        "weight = self.powers[index]",
        "weight = self.total // len(self.powers)",
    ),
    _m(
        "precommits count as prevotes",
        "rough, storm",
        VOTES + "add",
        "tally = votes.prevotes if vote.type == PREVOTE else votes.precommits",
        "tally = votes.prevotes",
    ),
    _m(
        "whatever needs everybody",
        "absent",
        VOTES + "_thresholds",
        "3 * tally.spoken > 2 * total",
        "tally.spoken >= total",
    ),
    _m(
        "one voice is enough to skip rounds",
        "byzantine, flood",
        VOTES + "_thresholds",
        "3 * votes.present_power > total",
        "True",
    ),
    _several(
        "a vote counts as often as it comes",
        "storm, rough",
        (
            VOTES + "of_use",
            "if tally.holds(index, vote.block_hash):\n        return False",
            "if tally.holds(index, vote.block_hash):\n        return True",
        ),
        (VOTES + "add", "if first is None:", "if first is None or first.block_hash == value:"),
    ),
    _several(
        "one vote that comes twice is evidence",
        "storm, rough",
        (
            VOTES + "of_use",
            "if tally.holds(index, vote.block_hash):\n        return False",
            "if tally.holds(index, vote.block_hash):\n        return True",
        ),
        (VOTES + "add", "if first.block_hash == value or (index, value) in tally.extra:", "if False:"),
    ),
    _m(
        "double votes are not reported",
        "equivocation",
        VOTES + "add",
        "evidence = make_evidence(first, vote)",
        "evidence = None",
    ),
    _m(
        "evidence is not in order",
        "equivocation",
        "consensus.evidence:make_evidence",
        '(one.block_hash or b"") > (other.block_hash or b"")',
        '(one.block_hash or b"") < (other.block_hash or b"")',
    ),
    _m(
        "the second vote of an equivocator replaces the first",
        "equivocation, byzantine",
        VOTES + "add",
        "if first is None:\n        tally.first[index] = vote\n        tally.spoken += weight\n    else:",
        "if first is None or first.block_hash != value:\n        tally.first[index] = vote\n"
        "        tally.spoken += weight\n    else:",
    ),
    _several(
        "votes of rounds ahead are kept without bound",
        "stalled",
        (VOTES + "_reserve", "if len(ahead) >= FUTURE_ROUNDS:", "if False:"),
        (VOTES + "of_use", "return len(ahead) < FUTURE_ROUNDS or round > ahead[0]", "return True"),
    ),
    _m(
        "votes for nil count as votes for the block in a commit",
        "rough, storm",
        VOTES + "commit",
        "FLAG_NIL",
        "FLAG_COMMIT",
    ),
    _m(
        "a commit has no votes for nil",
        "rough, storm, equivocation",
        VOTES + "commit",
        'entries.append(CommitSignature(address, FLAG_ABSENT, b""))',
        'entries.append(CommitSignature(address, FLAG_COMMIT, b""))',
    ),
    _m(
        "a commit names the validators in another order",
        "calm",
        VOTES + "commit",
        "return Commit(height, round, value, tuple(entries))",
        "return Commit(height, round, value, tuple(reversed(entries)))",
    ),
    _m(
        "every polka is believed",
        "certificates, old polkas, byzantine",
        VOTES + "has_polka",
        "return self.polka(round) == (True, value)",
        "return True",
    ),
    _m(
        "votes of other rounds are not taken",
        "rough, storm",
        VOTES + "takes_round",
        "return -PAST_ROUNDS <= distance <= MAX_AHEAD or round in self.pinned",
        "return distance == 0",
    ),
)

DRIVER_MUTANTS: Final = (
    _m(
        "every block is valid",
        "invalid",
        DRIVER + "answered",
        "self.checked.setdefault(block_hash, valid)",
        "self.checked.setdefault(block_hash, True)",
    ),
    _m(
        "every proposal is timely",
        "untimely",
        DRIVER + "answered",
        "self.timely[round, block_hash] = timely",
        "self.timely[round, block_hash] = True",
    ),
    _m(
        "timeliness alone makes a block acceptable",
        "invalid",
        DRIVER + "_proposal",
        "bool(valid and timely)",
        "bool(timely)",
    ),
    _m(
        "validity alone makes a block acceptable",
        "untimely",
        DRIVER + "_proposal",
        "bool(valid and timely)",
        "bool(valid)",
    ),
    _m(
        "a proof of lock is not looked for",
        "certificates, old polkas, byzantine",
        DRIVER + "_proposal",
        "if not self.votes.has_polka(pol_round, value):",
        "if False:",
    ),
    _m(
        "a round is not skipped when others are ahead",
        "forgetful",
        DRIVER + "vote",
        "if kind == Kind.SKIP:",
        "if False:",
    ),
    _m(
        "our own proposal is not timely",
        "calm",
        DRIVER + "proposal",
        "self.timely[proposal.round, proposal.block_hash] = True",
        "self.timely[proposal.round, proposal.block_hash] = False",
    ),
    _m(
        "everybody proposes",
        "calm",
        DRIVER + "_apply",
        "proposer = self.own is not None and self.rotation.proposer(round) == self.own",
        "proposer = self.own is not None",
    ),
    _m(
        "the proposer of the first round proposes in all",
        "rough, storm",
        DRIVER + "_apply",
        "self.rotation.proposer(round) == self.own",
        "self.rotation.proposer(0) == self.own",
    ),
    _m(
        "votes are counted without a look at what they complete",
        "calm",
        DRIVER + "vote",
        "return added, self._examine(outputs)",
        "return added, outputs",
    ),
    _m(
        "a check that was answered is not looked at",
        "calm",
        DRIVER + "answered",
        "return self._examine([])",
        "return []",
    ),
)

CORE_MUTANTS: Final = (
    _several(
        "the flush comes after the signature",
        "storm, crashing",
        (CORE + "_sign_next", "actions += [Flush(), asked]", "actions += [asked]"),
        (CORE + "_signed", "[Send(message, True)]", "[Flush(), Send(message, True)]"),
    ),
    _m(
        "nothing is flushed before a signature",
        "crashing, storm",
        CORE + "_sign_next",
        "actions += [Flush(), asked]",
        "actions += [asked]",
    ),
    _m(
        "the body is not kept",
        "calm",
        "consensus.height:_keep_body",
        "if needed and name is not None:",
        "if False:",
    ),
    _m(
        "nothing is verified",
        "garbage, byzantine",
        CORE + "_receive",
        "return [Verify(peer, message)]",
        "return self._verified(Verified(peer, message))",
    ),
    _m(
        "anybody may propose",
        "wrong proposer",
        CORE + "_refusal",
        "if near and self.proposer(message.round) != message.address:",
        "if False:",
    ),
    _m(
        "a proof-of-lock round need not be below the proposal's",
        "certificates",
        CORE + "_refusal",
        "if not -1 <= message.pol_round < message.round:",
        "if False:",
    ),
    _several(
        "a commit needs no two thirds",
        "certificates, old polkas, byzantine",
        (CORE + "_commit_refusal", "3 * power > 2 * self.state.validators.total", "power > 0"),
        ("node.validation:check_commit", "if 3 * power <= 2 * total:", "if False:"),
    ),
    _m(
        "messages that come a height too early are lost",
        "no summaries",
        CORE + "_new_height",
        "if early:",
        "if False:",
    ),
    _m(
        "our own vote is not counted",
        "storm, rough",
        CORE + "_signed",
        "self._count(driver, message, actions, relay=False)",
        "driver.state = driver.state",
    ),
    _m(
        "our own message is not sent",
        "calm",
        CORE + "_signed",
        "actions: list[Action] = [Send(message, True)]",
        "actions: list[Action] = []",
    ),
    _m(
        "a restart starts no timer",
        "heavy crashing, crashing",
        CORE + "resume",
        "for step in state.timers",
        "for step in ()",
    ),
    _m(
        "a restart does not sign what was asked for",
        "crashing, storm",
        CORE + "resume",
        "actions += [Flush(), state.signing]",
        "actions += [Flush()]",
    ),
    _m(
        "the signer's memory is ignored",
        "lost log",
        CORE + "_recalled",
        "return self._carry_out(driver.recall(memory, first), [])",
        "return []",
    ),
    _m(
        "timeouts are not logged",
        "storm",
        "consensus.height:is_durable",
        "Received | Refused | NewHeight",
        "Received | Refused | NewHeight | TimedOut",
    ),
    _m(
        "verified messages are not logged",
        "storm",
        "consensus.height:is_durable",
        "Received | Refused | NewHeight",
        "Received | Refused | NewHeight | Verified",
    ),
    _m(
        "outcomes of checks are not logged",
        "storm",
        "consensus.height:is_durable",
        "Received | Refused | NewHeight",
        "Received | Refused | NewHeight | BlockChecked",
    ),
    _m(
        "our own messages are not logged",
        "storm",
        "consensus.height:is_durable",
        "Received | Refused | NewHeight",
        "Received | Refused | NewHeight | Signed",
    ),
    _m(
        "evidence is kept to oneself",
        "equivocation",
        CORE + "_count",
        "actions.append(ReportEvidence(added.evidence))",
        "actions.extend(())",
    ),
    _m(
        "a decision does not end the height",
        "slow signer, storm",
        CORE + "_decide",
        "state.decided = commit",
        "pass",
    ),
    _m(
        "a bad signature is no offence",
        "garbage",
        CORE + "_refused",
        'actions: list[Action] = [Punish(event.peer, "a message with a bad signature")]',
        "actions: list[Action] = []",
    ),
    _m(
        "a commit of a peer decides nothing",
        "storm, rough",
        CORE + "_verified",
        "return self._decide(message, [])",
        "return []",
    ),
)

OTHER_MUTANTS: Final = (
    _m(
        "the window of a proposal's time has no early end",
        "untimely",
        "node.bft_options:Window.holds",
        "return time - self.precision_ns <= received <= time + self.precision_ns + delay",
        "return received <= time + self.precision_ns + delay",
    ),
    _m(
        "priorities are rescaled by flooring",
        "unequal",
        TURNS + "divide_truncating",
        "return value // divisor if value >= 0 else -(-value // divisor)",
        "return value // divisor",
    ),
    _m("priorities are not rescaled", "unequal", TURNS + "rescale", "if difference <= window:", "if True:"),
    _m(
        "priorities are centred by rounding up",
        "unequal",
        TURNS + "center",
        "average = sum(priorities) // len(priorities)",
        "average = -(-sum(priorities) // len(priorities))",
    ),
    _m(
        "priorities are not centred",
        "unequal",
        TURNS + "center",
        "average = sum(priorities) // len(priorities)",
        "average = 0",
    ),
    _m(
        "the higher address proposes at equal priority",
        "calm",
        TURNS + "choose",
        "addresses[index] < addresses[best]",
        "addresses[index] > addresses[best]",
    ),
    _m("who proposed pays nothing", "calm", TURNS + "choose", "priorities[best] -= total", "pass"),
    _m(
        "a newcomer begins at zero",
        "unequal",
        TURNS + "_apply",
        "newcomer = -(before_removals + (before_removals >> 3))",
        "newcomer = 0",
    ),
    _m(
        "a newcomer begins at minus the power",
        "unequal",
        TURNS + "_apply",
        "newcomer = -(before_removals + (before_removals >> 3))",
        "newcomer = -before_removals",
    ),
    _m(
        "a newcomer's start leaves out who is removed",
        "unequal",
        TURNS + "_apply",
        "power or present[address].power",
        "power",
    ),
    _m(
        "records have no checksum",
        "damaged log",
        WAL + "_payload_at",
        "good = _sum(height, place, length, payload) == data[start - CHECKSUM_SIZE : start]",
        "good = True",
    ),
    _m(
        "a torn end is not cut",
        "crashing, storm",
        WAL + "Wal.begin",
        "if verdict is Verdict.TORN:",
        "if False:",
    ),
    _m(
        "a flush syncs nothing",
        "crashing, storm",
        WAL + "Wal.flush",
        "self._storage.sync(self._name)",
        "pass",
    ),
    _m(
        "corruption is taken for a torn end",
        "damaged log",
        WAL + "scan",
        "return payloads, place, True",
        "return payloads, place, False",
    ),
    _m("records do not know their place", "crashing", WAL + "Wal.append", "self._size += len(data)", "pass"),
    _m(
        "after corruption the node signs",
        "damaged log",
        WAL + "Recovery.may_sign",
        "return self.verdict is not Verdict.CORRUPT",
        "return True",
    ),
    _m(
        "a signature leaves before the guard has written it",
        "lost log",
        SIGNER + "SignerGuard._sign_once",
        "self._vault.write(encode_state(new))",
        "pass",
    ),
    _m(
        "the guard signs again instead of repeating itself",
        "crashing, storm",
        SIGNER + "SignerGuard._sign_once",
        "return state.signature",
        "return self._sign(message)",
    ),
    _m(
        "the guard signs other bytes for the same place",
        "lost log",
        SIGNER + "SignerGuard._sign_once",
        "if place <= state.place:",
        "if place < state.place:",
    ),
    _m(
        "the guard signs earlier places",
        "lost log",
        SIGNER + "SignerGuard._sign_once",
        "if place <= state.place:",
        "if False:",
    ),
    _m(
        "the guard does not remember the lock",
        "lost log",
        SIGNER + "SignerGuard._sign_once",
        "lock = newest_lock(state.memory, height, lock)",
        "lock = NO_LOCK",
    ),
    _m(
        "peers are sent nothing they lack",
        "lossy",
        "consensus.catchup:missing",
        "return found[:limit]",
        "return []",
    ),
    _m(
        "peers are sent what they have",
        "lossy",
        "consensus.catchup:_absent",
        "not present >> index & 1",
        "present >> index & 1",
    ),
    _m(
        "only the proposal is repaired",
        "lossy",
        "consensus.catchup:missing",
        "for round in _rounds_of_use(driver, theirs, told):",
        "for round in ():",
    ),
)

MUTANTS: Final = ROUND_MUTANTS + VOTE_MUTANTS + DRIVER_MUTANTS + CORE_MUTANTS + OTHER_MUTANTS
