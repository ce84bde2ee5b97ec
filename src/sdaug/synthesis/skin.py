"""Colours for what a photo never showed: spread over the head's surface from what it did show."""

import numpy as np


def spread(colours: np.ndarray, known: np.ndarray, triangles: np.ndarray, seam: np.ndarray) -> np.ndarray:
    """`colours` (V, C) with those of unknown vertices filled from their neighbours on the mesh: (V, C) float64.

    known: (V,) bool. triangles: (T, 3). seam: (S, 2) pairs that are neighbours too. Each unknown vertex becomes the
    mean of its neighbours (a harmonic function: Zhu, Ghahramani and Lafferty 2003, equation 5, equal weights); one
    without a way to a known vertex gets the mean of all known ones.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import spsolve

    filled = colours.astype(np.float64).copy()
    if known.all():
        return filled
    if not known.any():
        raise ValueError("no vertex has a known colour; at least one is needed to spread from")
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]], seam])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    count = len(colours)
    joined = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    joined.data[:] = 1
    label = connected_components(joined, directed=False)[1]
    reached = np.isin(label, np.unique(label[known]))
    filled[~reached] = filled[known].mean(0)
    open_ = np.flatnonzero(~known & reached)
    if open_.size:
        degree = diags(np.asarray(joined.sum(1)).ravel())
        laplacian = (degree - joined).tocsr()
        rows = laplacian[open_]
        right = -rows[:, np.flatnonzero(known)] @ filled[known]
        filled[open_] = np.asarray(spsolve(rows[:, open_].tocsc(), right)).reshape(open_.size, -1)
    return filled
