"""The viewer: any data file, or a running graph, in the browser (viser).

A package of its own because three things share it: `dexhot view FILE`, the viewer node of a running graph, and a lab's
own scripts (`show_rollout(server, rollout)`). It draws what rollouts and simulation hold and is used by ros,
report and cli, so it stands between those layers.
"""
