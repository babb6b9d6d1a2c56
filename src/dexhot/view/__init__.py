"""The viewer: any data file, or a running graph, in the browser (viser).

A separate package because it has three users: `dexhot view FILE`, the viewer node of a running graph, and a lab's
own scripts (`show_rollout(server, rollout)`). It draws rollouts and simulation scenes and is used by ros,
report and cli, so it is between those layers.
"""
