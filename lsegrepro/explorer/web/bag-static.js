begin("bag", bagExplorer);
