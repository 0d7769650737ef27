begin("slider", thetaSlider);
