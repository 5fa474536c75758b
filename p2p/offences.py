"""What peers do wrong, as those who notice it say it. How much each counts is for the peers' scores to say."""

from __future__ import annotations

from enum import StrEnum


class Offence(StrEnum):
    """What a peer did that no honest one does, or does seldom."""

    MALFORMED = "malformed"
    """Bytes that are no message, or a transaction that is none."""
    OVERSIZED = "oversized"
    """More than the bound of a message."""
    UNSOLICITED = "unsolicited"
    """An answer to nothing that was asked."""
    UNDELIVERED = "undelivered"
    """It announced what it does not deliver."""
    UNRESPONSIVE = "unresponsive"
    """It does not answer in time."""
    FALSE_CONTENT = "false_content"
    """Contents that do not hash to what they are said to be."""
    INVALID_SIGNATURE = "invalid_signature"
    """A vote, proposal or evidence with a signature that is none."""
    INVALID_TRANSACTION = "invalid_transaction"
    """A transaction that no honest node passes on, unless the sender's key was changed meanwhile."""
    INVALID_CONSENSUS = "invalid_consensus"
    """A message that no honest validator's peer passes on."""
    FLOOD = "flood"
    """More than a peer may send."""
    FALSE_CLAIM = "false_claim"
    """A height, a base or a possession claimed that is not there."""
    HANDSHAKE = "handshake"
    """A handshake that failed for another reason than another network."""
    WRONG_NETWORK = "wrong_network"
    """A handshake for another chain, genesis or version."""
    BROKEN_FRAME = "broken_frame"
    """A frame that does not open, or is not put together as it must be."""
    WRONG_CHANNEL = "wrong_channel"
    """A channel that is none, or a message on the channel of another."""
