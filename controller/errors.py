"""What can go wrong outside: raised by the doors (cluster, outbox, results), handled by the loop."""


class ControllerError(Exception):
    """Anything the doors report."""


class TransientError(ControllerError):
    """The other side did not answer or was busy: the same call may succeed later."""


class StaleError(TransientError):
    """The resource has changed since it was read: read it again, then decide again."""


class QuotaError(TransientError):
    """The namespace's quota leaves no room for the Job."""


class MissingError(ControllerError):
    """The object is not there."""


class RefusedError(ControllerError):
    """The other side understood and said no: the same call never succeeds."""


class DeniedError(ControllerError):
    """The other side says no until somebody changes its settings: worth a few tries, not endless ones."""


class NameTakenError(RefusedError):
    """The Job's name belongs to an object that is not ours."""
