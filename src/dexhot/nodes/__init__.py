"""The ROS 2 graph: the lifecycle base class, one module per node, the graphs and how they are brought up."""
