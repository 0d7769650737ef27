def test_a(tiny_run):
    assert tiny_run.folder.is_dir()
    import subprocess; print(subprocess.run(["du","-ah",str(tiny_run.folder)],capture_output=True,text=True).stdout)
