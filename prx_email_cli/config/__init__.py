"""The TOML config: typed settings, provider presets and secrets."""
