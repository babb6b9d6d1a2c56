"""The rasteriser's Warp kernels: the same code on the CPU and on CUDA.

Screen vertices are (u, v) in pixels, whole numbers at pixel centres, and the depth z in metres. `draw` fills a z-buffer
of (depth, face), `resolve` turns it into labels, faces and depth, and `smooth` anti-aliases the borders between pixels
and their right and lower neighbours. On a triangle everything that is k / z of a vertex value k is affine in the
screen, which is all that the gradients of depth, colour and intersections need. Threads over images take RUN pixels of
a row each: most are background, and on the CPU a thread costs more than one of those.

A border between two labels crosses the line between two pixel centres at `t` in [0, 1] from the first. It is either a
silhouette, found by walking over the mesh from the pixel that it belongs to, or the line where two surfaces intersect.
A border that is steep in the image is measured between horizontal neighbours and a flat one between vertical ones,
never both: so that half a pixel on either side of it, times its length, is the area that it sweeps, once.
"""

import warp as wp

NEAR = wp.constant(0.01)  # m; a face with a vertex nearer than this is not drawn
EMPTY = wp.constant(wp.int64(0x7FFFFFFFFFFFFFFF))
STEPS = wp.constant(32)  # faces walked over within one pixel, at most
RUN = wp.constant(8)
NO_BORDER, SILHOUETTE, INTERSECTION = wp.constant(0), wp.constant(1), wp.constant(2)

wp.set_module_options({"enable_backward": False, "fuse_fp": False})  # unfused: an edge's two faces agree on its sides


@wp.kernel
def project(
    points: wp.array2d(dtype=wp.vec3), fx: float, fy: float, cx: float, cy: float, screen: wp.array2d(dtype=wp.vec3)
):
    """Points of the optical frame, m, to screen vertices."""
    b, i = wp.tid()
    p = points[b, i]
    z = wp.max(p[2], 1.0e-6)  # nothing nearer than NEAR is drawn
    screen[b, i] = wp.vec3(fx * p[0] / z + cx, fy * p[1] / z + cy, p[2])


@wp.kernel
def project_backward(
    points: wp.array2d(dtype=wp.vec3),
    fx: float,
    fy: float,
    screen_grad: wp.array2d(dtype=wp.vec3),
    points_grad: wp.array2d(dtype=wp.vec3),
):
    """Gradient with respect to screen vertices -> with respect to points."""
    b, i = wp.tid()
    p = points[b, i]
    g = screen_grad[b, i]
    z = wp.max(p[2], 1.0e-6)
    gx, gy = fx * g[0] / z, fy * g[1] / z
    points_grad[b, i] = wp.vec3(gx, gy, g[2] - (gx * p[0] + gy * p[1]) / z)


@wp.func
def side(a: wp.vec3, b: wp.vec3, x: float, y: float):
    """Twice the signed area of the triangle a, b, (x, y): exactly opposite for b, a."""
    return (a[0] - x) * (b[1] - y) - (a[1] - y) * (b[0] - x)


@wp.func
def area(a: wp.vec3, b: wp.vec3, c: wp.vec3):
    """Twice the signed area of the triangle; its sign distinguishes front from back."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@wp.func
def face_area(screen: wp.array2d(dtype=wp.vec3), b: int, face: wp.vec3i):
    """`area` of a face."""
    return area(screen[b, face[0]], screen[b, face[1]], screen[b, face[2]])


@wp.func
def weights(screen: wp.array2d(dtype=wp.vec3), b: int, face: wp.vec3i, x: float, y: float):
    """Barycentric coordinates in the screen, outside of the triangle too."""
    p0 = screen[b, face[0]]
    p1 = screen[b, face[1]]
    p2 = screen[b, face[2]]
    inverse = 1.0 / area(p0, p1, p2)
    return wp.vec3(side(p1, p2, x, y) * inverse, side(p2, p0, x, y) * inverse, side(p0, p1, x, y) * inverse)


@wp.func
def over_z(screen: wp.array2d(dtype=wp.vec3), b: int, face: wp.vec3i, values: wp.vec3):
    """The vertices' values / z, which interpolate linearly in the screen."""
    return wp.cw_div(values, wp.vec3(screen[b, face[0]][2], screen[b, face[1]][2], screen[b, face[2]][2]))


@wp.func
def slope(screen: wp.array2d(dtype=wp.vec3), b: int, face: wp.vec3i, k: wp.vec3):
    """d/du and d/dv of the function that is affine in the screen and has the values k at the vertices."""
    p0 = screen[b, face[0]]
    p1 = screen[b, face[1]]
    p2 = screen[b, face[2]]
    inverse = 1.0 / area(p0, p1, p2)
    du = k[0] * (p1[1] - p2[1]) + k[1] * (p2[1] - p0[1]) + k[2] * (p0[1] - p1[1])
    dv = k[0] * (p2[0] - p1[0]) + k[1] * (p0[0] - p2[0]) + k[2] * (p1[0] - p0[0])
    return wp.vec2(du * inverse, dv * inverse)


@wp.func
def add_gradient(
    screen: wp.array2d(dtype=wp.vec3),
    b: int,
    face: wp.vec3i,
    x: float,
    y: float,
    values: wp.vec3,
    factor: float,
    screen_grad: wp.array2d(dtype=wp.vec3),
):
    """Add factor * d k(x, y) / d(u, v, z of the face's vertices), k being the interpolated values / z."""
    w = weights(screen, b, face, x, y)
    k = over_z(screen, b, face, values)
    dk = slope(screen, b, face, k)
    for i in range(3):
        by_z = k[i] / screen[b, face[i]][2]
        wp.atomic_add(screen_grad, b, face[i], -factor * w[i] * wp.vec3(dk[0], dk[1], by_z))


@wp.kernel
def draw(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    width: int,
    height: int,
    buffer: wp.array3d(dtype=wp.int64),
):
    """Keep the nearest (depth, face) of each pixel centre. Positive floats have the order of their bits."""
    b, f = wp.tid()
    face = faces[f]
    p0 = screen[b, face[0]]
    p1 = screen[b, face[1]]
    p2 = screen[b, face[2]]
    if p0[2] < NEAR or p1[2] < NEAR or p2[2] < NEAR:
        return
    left = wp.max(wp.ceil(wp.min(p0[0], wp.min(p1[0], p2[0]))), 0.0)
    right = wp.min(wp.floor(wp.max(p0[0], wp.max(p1[0], p2[0]))), float(width - 1))
    top = wp.max(wp.ceil(wp.min(p0[1], wp.min(p1[1], p2[1]))), 0.0)
    bottom = wp.min(wp.floor(wp.max(p0[1], wp.max(p1[1], p2[1]))), float(height - 1))
    if left > right or top > bottom:
        return
    size = area(p0, p1, p2)
    if wp.abs(size) < 1.0e-9:
        return
    turn = wp.sign(size)
    k0, k1, k2 = turn / p0[2], turn / p1[2], turn / p2[2]
    size = wp.abs(size)
    for row in range(int(top), int(bottom) + 1):
        y = float(row)
        for column in range(int(left), int(right) + 1):
            x = float(column)
            e0, e1, e2 = side(p1, p2, x, y), side(p2, p0, x, y), side(p0, p1, x, y)
            if e0 * turn >= 0.0 and e1 * turn >= 0.0 and e2 * turn >= 0.0:
                z = size / (e0 * k0 + e1 * k1 + e2 * k2)
                key = (wp.int64(wp.cast(z, wp.int32)) << wp.int64(32)) | wp.int64(f)
                wp.atomic_min(buffer, b, row, column, key)


@wp.func
def face_of(key: wp.int64):
    """The face in a z-buffer's key, -1 for none."""
    f = int(-1)
    if key != EMPTY:
        f = int(key & wp.int64(0x7FFFFFFF))
    return f


@wp.func
def label_of(labels: wp.array(dtype=int), f: int):
    """A face's label; background for none."""
    label = int(0)
    if f >= 0:
        label = labels[f]
    return label


@wp.kernel
def resolve(
    buffer: wp.array3d(dtype=wp.int64),
    labels: wp.array(dtype=int),
    shaded: bool,
    mask: wp.array3d(dtype=wp.vec4),
    face_ids: wp.array3d(dtype=int),
    depth: wp.array3d(dtype=float),
    pairs: wp.array(dtype=int),
    count: wp.array(dtype=int),
):
    """The z-buffer as one-hot labels, face ids (-1: none) and depth in m (0: none).

    Lists the pairs of neighbours that a border may part: those of different labels, with colours those of different
    faces, as twice the first pixel's number plus the axis.
    """
    b, y, run = wp.tid()
    height, width = buffer.shape[1], buffer.shape[2]
    for x in range(RUN * run, wp.min(RUN * (run + 1), width)):
        key = buffer[b, y, x]
        f = face_of(key)
        label = label_of(labels, f)
        seen = wp.vec4(0.0, 0.0, 0.0, 0.0)
        seen[label] = 1.0
        z = float(0.0)
        if f >= 0:
            z = wp.cast(wp.int32(key >> wp.int64(32)), float)
        mask[b, y, x] = seen
        face_ids[b, y, x] = f
        depth[b, y, x] = z
        for axis in range(2):
            x1, y1 = x + 1 - axis, y + axis
            if x1 < width and y1 < height:
                g = face_of(buffer[b, y1, x1])
                if g != f and (shaded or label_of(labels, g) != label):
                    pairs[wp.atomic_add(count, 0, 1)] = 2 * ((b * height + y) * width + x) + axis


@wp.func
def color_at(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    colors: wp.array2d(dtype=wp.vec3),
    face_ids: wp.array3d(dtype=int),
    b: int,
    y: int,
    x: int,
):
    """The vertices' colours in perspective; black where no face is."""
    f = face_ids[b, y, x]
    color = wp.vec3(0.0, 0.0, 0.0)
    if f >= 0:
        face = faces[f]
        k = wp.cw_mul(weights(screen, b, face, float(x), float(y)), over_z(screen, b, face, wp.vec3(1.0, 1.0, 1.0)))
        color = (k[0] * colors[b, face[0]] + k[1] * colors[b, face[1]] + k[2] * colors[b, face[2]]) / (
            k[0] + k[1] + k[2]
        )
    return color


@wp.kernel
def shade(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    colors: wp.array2d(dtype=wp.vec3),
    face_ids: wp.array3d(dtype=int),
    image: wp.array3d(dtype=wp.vec3),
):
    """The colour of each pixel centre."""
    b, y, run = wp.tid()
    for x in range(RUN * run, wp.min(RUN * (run + 1), face_ids.shape[2])):
        image[b, y, x] = color_at(screen, faces, colors, face_ids, b, y, x)


@wp.func
def walk(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    b: int,
    start: int,
    x: float,
    y: float,
    axis: int,
    sign: float,
):
    """From the pixel centre on face `start` along +-u (axis 0) or +-v (1), over the mesh, to its silhouette.

    Returns (first vertex, second vertex, distance in pixels) of the edge there; a negative distance when within one
    pixel there is none.
    """
    f, came, turn = start, int(-1), face_area(screen, b, faces[start])
    other = 1 - axis
    here, line = x, y
    if axis == 1:
        here, line = y, x
    found = wp.vec3(0.0, 0.0, -1.0)
    for _ in range(STEPS):
        face = faces[f]
        edge, distance = int(-1), float(-1.0)
        for k in range(3):  # the exit is the farther of the edges that the line meets
            p = screen[b, face[k]]
            q = screen[b, face[(k + 1) % 3]]
            if (p[other] > line) != (q[other] > line) and (came < 0 or neighbours[f][k] != came):
                r = sign * (p[axis] + (line - p[other]) * (q[axis] - p[axis]) / (q[other] - p[other]) - here)
                if r > distance:
                    edge, distance = k, r
        if edge < 0 or distance > 1.0:
            break
        beyond = neighbours[f][edge]
        silhouette = beyond < 0
        if beyond >= 0:
            silhouette = face_area(screen, b, faces[beyond]) * turn <= 0.0
        if silhouette:
            found = wp.vec3(float(face[edge]), float(face[(edge + 1) % 3]), distance)
            break
        came = f
        f = beyond
    return found


@wp.struct
class Border:
    """Where two pixels' labels meet."""

    kind: int
    t: float  # 0 at the first pixel's centre, 1 at the second's
    first: int  # SILHOUETTE: the vertices of its edge
    second: int
    by_first: float  # INTERSECTION: dt / d(difference of the inverse depths) at the first pixel, at the second
    by_second: float


@wp.func
def find_border(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    face_ids: wp.array3d(dtype=int),
    depth: wp.array3d(dtype=float),
    b: int,
    y: int,
    x: int,
    axis: int,
    may_intersect: bool,
):
    """The border between pixel (y, x) and its right (axis 0) or lower (1) neighbour."""
    border = Border()
    border.kind = NO_BORDER
    x1, y1 = x + 1 - axis, y + axis
    f, g = face_ids[b, y, x], face_ids[b, y1, x1]
    first_owns = g < 0 or (f >= 0 and depth[b, y, x] < depth[b, y1, x1])
    found = wp.vec3(0.0, 0.0, -1.0)
    for attempt in range(2):  # the nearer surface first; a slanted farther one may still reach in front of it
        if found[2] < 0.0:
            if first_owns == (attempt == 0):
                if f >= 0:
                    found = walk(screen, faces, neighbours, b, f, float(x), float(y), axis, 1.0)
                    border.t = found[2]
            elif g >= 0:
                found = walk(screen, faces, neighbours, b, g, float(x1), float(y1), axis, -1.0)
                border.t = 1.0 - found[2]
    if found[2] >= 0.0:
        border.first = int(found[0])
        border.second = int(found[1])
        run = screen[b, border.second] - screen[b, border.first]
        steep = wp.abs(run[1]) >= wp.abs(run[0])
        if steep == (axis == 0):
            border.kind = SILHOUETTE
    elif may_intersect and f >= 0 and g >= 0:
        one = wp.vec3(1.0, 1.0, 1.0)
        kf, kg = over_z(screen, b, faces[f], one), over_z(screen, b, faces[g], one)
        here = wp.dot(weights(screen, b, faces[f], float(x), float(y)), kf)
        here -= wp.dot(weights(screen, b, faces[g], float(x), float(y)), kg)
        there = wp.dot(weights(screen, b, faces[f], float(x1), float(y1)), kf)
        there -= wp.dot(weights(screen, b, faces[g], float(x1), float(y1)), kg)
        across = slope(screen, b, faces[f], kf) - slope(screen, b, faces[g], kg)
        steep = wp.abs(across[0]) >= wp.abs(across[1])
        if here > 0.0 and there < 0.0 and steep == (axis == 0):
            change = here - there
            border.kind = INTERSECTION
            border.t = here / change
            border.by_first = -there / (change * change)
            border.by_second = here / (change * change)
    return border


@wp.func
def pair_at(number: int, height: int, width: int):
    """(b, y, x, axis) of a pair that `resolve` listed."""
    pixel = number // 2
    row = pixel // width
    return row // height, row % height, pixel % width, number % 2


@wp.kernel
def smooth(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    labels: wp.array(dtype=int),
    colors: wp.array2d(dtype=wp.vec3),
    face_ids: wp.array3d(dtype=int),
    depth: wp.array3d(dtype=float),
    shaded: bool,
    pairs: wp.array(dtype=int),
    borders: wp.array(dtype=Border),
    mask: wp.array3d(dtype=wp.vec4),
    image: wp.array3d(dtype=wp.vec3),
):
    """Give each side of a border the area that it covers: the pixel that it cuts gets some of the other one's label.

    With colours, folds within one label are smoothed too. Keeps the borders for the backward pass.
    """
    i = wp.tid()
    b, y, x, axis = pair_at(pairs[i], face_ids.shape[1], face_ids.shape[2])
    x1, y1 = x + 1 - axis, y + axis
    label, other = label_of(labels, face_ids[b, y, x]), label_of(labels, face_ids[b, y1, x1])
    border = find_border(screen, faces, neighbours, face_ids, depth, b, y, x, axis, label != other)
    borders[i] = border
    if border.kind != NO_BORDER:
        moved = border.t - 0.5  # > 0: the first pixel's side reaches into the second pixel
        yc, xc = y, x
        if moved > 0.0:
            yc, xc = y1, x1
        gain = wp.vec4(0.0, 0.0, 0.0, 0.0)
        gain[label] += moved
        gain[other] -= moved
        wp.atomic_add(mask, b, yc, xc, gain)
        if shaded:
            color = color_at(screen, faces, colors, face_ids, b, y, x)
            color -= color_at(screen, faces, colors, face_ids, b, y1, x1)
            wp.atomic_add(image, b, yc, xc, moved * color)


@wp.func
def add_color_gradient(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    colors: wp.array2d(dtype=wp.vec3),
    f: int,
    b: int,
    y: int,
    x: int,
    grad: wp.vec3,
    screen_grad: wp.array2d(dtype=wp.vec3),
    colors_grad: wp.array2d(dtype=wp.vec3),
):
    """Propagate `grad`, with respect to the colour at a pixel centre, to the vertices of face f and their colours."""
    if f < 0:
        return
    face = faces[f]
    xc, yc = float(x), float(y)
    k = wp.cw_mul(weights(screen, b, face, xc, yc), over_z(screen, b, face, wp.vec3(1.0, 1.0, 1.0)))
    inverse = k[0] + k[1] + k[2]
    along = wp.vec3(
        wp.dot(grad, colors[b, face[0]]), wp.dot(grad, colors[b, face[1]]), wp.dot(grad, colors[b, face[2]])
    )
    value = wp.dot(k, along) / inverse
    add_gradient(screen, b, face, xc, yc, along - wp.vec3(value, value, value), 1.0 / inverse, screen_grad)
    for i in range(3):
        wp.atomic_add(colors_grad, b, face[i], (k[i] / inverse) * grad)


@wp.func
def add_border_gradient(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    face_ids: wp.array3d(dtype=int),
    b: int,
    y: int,
    x: int,
    axis: int,
    border: Border,
    by_t: float,
    screen_grad: wp.array2d(dtype=wp.vec3),
):
    """Propagate `by_t`, the gradient with respect to the border's position, to the vertices that define it."""
    if border.kind == SILHOUETTE:
        p = screen[b, border.first]
        q = screen[b, border.second]
        other = 1 - axis
        line = float(y)
        if axis == 1:
            line = float(x)
        s = (line - p[other]) / (q[other] - p[other])
        lean = (q[axis] - p[axis]) / (q[other] - p[other])
        along = wp.vec3(1.0, -lean, 0.0)
        if axis == 1:
            along = wp.vec3(-lean, 1.0, 0.0)
        wp.atomic_add(screen_grad, b, border.first, by_t * (1.0 - s) * along)
        wp.atomic_add(screen_grad, b, border.second, by_t * s * along)
    else:
        x1, y1 = x + 1 - axis, y + axis
        near = faces[face_ids[b, y, x]]
        far = faces[face_ids[b, y1, x1]]
        one = wp.vec3(1.0, 1.0, 1.0)
        here, there = by_t * border.by_first, by_t * border.by_second
        add_gradient(screen, b, near, float(x), float(y), one, here, screen_grad)
        add_gradient(screen, b, far, float(x), float(y), one, -here, screen_grad)
        add_gradient(screen, b, near, float(x1), float(y1), one, there, screen_grad)
        add_gradient(screen, b, far, float(x1), float(y1), one, -there, screen_grad)


@wp.kernel
def smooth_backward(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    labels: wp.array(dtype=int),
    colors: wp.array2d(dtype=wp.vec3),
    face_ids: wp.array3d(dtype=int),
    shaded: bool,
    pairs: wp.array(dtype=int),
    borders: wp.array(dtype=Border),
    mask_grad: wp.array3d(dtype=wp.vec4),
    image_grad: wp.array3d(dtype=wp.vec3),
    screen_grad: wp.array2d(dtype=wp.vec3),
    colors_grad: wp.array2d(dtype=wp.vec3),
):
    """Gradients with respect to mask and image -> to the screen vertices and their colours, through `smooth`."""
    i = wp.tid()
    border = borders[i]
    if border.kind == NO_BORDER:
        return
    b, y, x, axis = pair_at(pairs[i], face_ids.shape[1], face_ids.shape[2])
    x1, y1 = x + 1 - axis, y + axis
    f = face_ids[b, y, x]
    g = face_ids[b, y1, x1]
    moved = border.t - 0.5
    yc, xc = y, x
    if moved > 0.0:
        yc, xc = y1, x1
    by_t = mask_grad[b, yc, xc][label_of(labels, f)] - mask_grad[b, yc, xc][label_of(labels, g)]
    if shaded:
        grad = image_grad[b, yc, xc]
        color = color_at(screen, faces, colors, face_ids, b, y, x)
        by_t += wp.dot(grad, color - color_at(screen, faces, colors, face_ids, b, y1, x1))
        add_color_gradient(screen, faces, colors, f, b, y, x, moved * grad, screen_grad, colors_grad)
        add_color_gradient(screen, faces, colors, g, b, y1, x1, -moved * grad, screen_grad, colors_grad)
    add_border_gradient(screen, faces, face_ids, b, y, x, axis, border, by_t, screen_grad)


@wp.kernel
def shade_backward(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    colors: wp.array2d(dtype=wp.vec3),
    face_ids: wp.array3d(dtype=int),
    image_grad: wp.array3d(dtype=wp.vec3),
    screen_grad: wp.array2d(dtype=wp.vec3),
    colors_grad: wp.array2d(dtype=wp.vec3),
):
    """Gradient with respect to the image -> to screen vertices and colours, through `shade`."""
    b, y, run = wp.tid()
    for x in range(RUN * run, wp.min(RUN * (run + 1), face_ids.shape[2])):
        add_color_gradient(
            screen, faces, colors, face_ids[b, y, x], b, y, x, image_grad[b, y, x], screen_grad, colors_grad
        )


@wp.kernel
def depth_backward(
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    face_ids: wp.array3d(dtype=int),
    depth: wp.array3d(dtype=float),
    depth_grad: wp.array3d(dtype=float),
    screen_grad: wp.array2d(dtype=wp.vec3),
):
    """Gradient with respect to the depth of the visible faces; none where another face comes into view."""
    b, y, run = wp.tid()
    for x in range(RUN * run, wp.min(RUN * (run + 1), face_ids.shape[2])):
        f = face_ids[b, y, x]
        if f >= 0:
            z = depth[b, y, x]
            factor = -z * z * depth_grad[b, y, x]
            add_gradient(screen, b, faces[f], float(x), float(y), wp.vec3(1.0, 1.0, 1.0), factor, screen_grad)


@wp.func
def binomial(k: int):
    """1 3 3 1 / 8: the narrowest even kernel whose levels overlap."""
    weight = 0.125
    if k == 1 or k == 2:
        weight = 0.375
    return weight


@wp.kernel
def reduce(fine: wp.array3d(dtype=wp.vec4), coarse: wp.array3d(dtype=wp.vec4)):
    """Half the resolution, smoothed by `binomial` both ways; border pixels are repeated beyond the image."""
    b, y, x = wp.tid()
    total = wp.vec4(0.0, 0.0, 0.0, 0.0)
    for j in range(4):
        row = wp.clamp(2 * y - 1 + j, 0, fine.shape[1] - 1)
        for i in range(4):
            column = wp.clamp(2 * x - 1 + i, 0, fine.shape[2] - 1)
            total += binomial(i) * binomial(j) * fine[b, row, column]
    coarse[b, y, x] = total


@wp.kernel
def reduce_backward(coarse_grad: wp.array3d(dtype=wp.vec4), fine_grad: wp.array3d(dtype=wp.vec4)):
    """Add to the gradient with respect to the fine level."""
    b, y, x = wp.tid()
    for j in range(4):
        row = wp.clamp(2 * y - 1 + j, 0, fine_grad.shape[1] - 1)
        for i in range(4):
            column = wp.clamp(2 * x - 1 + i, 0, fine_grad.shape[2] - 1)
            wp.atomic_add(fine_grad, b, row, column, binomial(i) * binomial(j) * coarse_grad[b, y, x])
