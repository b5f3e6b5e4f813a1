# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernel of `depth_match`: the greedy one-to-one pass over flux-ranked lists."""


def assign(
    const Py_ssize_t[::1] starts,
    const Py_ssize_t[::1] candidates,
    const Py_ssize_t[::1] windows,
    Py_ssize_t n_targets,
    Py_ssize_t[::1] tree,
    unsigned char[::1] taken,
    Py_ssize_t[::1] matched,
):
    """Give every source, in order, its first free candidate within its window of free targets.

    Parameters
    ----------
    starts : (n + 1,), where each source's candidates begin
    candidates : targets (ranks), nearest first, that passed the magnitude test
    windows : (n,), a candidate counts only among this many first free targets
    n_targets : m
    tree : (m + 1,), zeros; counts of taken targets (Fenwick tree)
    taken : (m,), zeros
    matched : (n,), out, target of each source or -1

    Returns
    -------
    Number of the source at which no free target was left, or n.
    """
    cdef Py_ssize_t n = windows.shape[0], k, c, target, before, node, free = n_targets, stopped = n
    with nogil:
        for k in range(n):
            matched[k] = -1
            if free == 0:
                if stopped == n:
                    stopped = k
                continue
            for c in range(starts[k], starts[k + 1]):
                target = candidates[c]
                if taken[target]:
                    continue
                before = 0
                node = target
                while node > 0:
                    before += tree[node]
                    node -= node & (-node)
                if target - before >= windows[k]:
                    continue
                taken[target] = 1
                free -= 1
                matched[k] = target
                node = target + 1
                while node <= n_targets:
                    tree[node] += 1
                    node += node & (-node)
                break
    return stopped
