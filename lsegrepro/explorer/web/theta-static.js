begin("theta", (root, {start, ...data}) => thetaExplorer(root, data, start));
