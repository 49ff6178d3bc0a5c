using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>Adapters that PEFT saved: read, held against their base model, and written again byte by byte.</summary>
public sealed class GoldenAdapterTests
{
    [GoldenTheory]
    [InlineData("longcat-flash-lora", 24, 4, 2.0)]
    [InlineData("longcat-flash-lora-list", 28, 3, 4.041451884327381)]
    [InlineData("longcat-flash-dora", 8, 4, 1.5)]
    public void An_adapter_of_peft_loads_and_is_written_again_byte_by_byte(string name, int modules, int rank, double scale)
    {
        using TemporaryFolder folder = new();
        using PeftAdapter adapter = PeftAdapter.Load(GoldenFixtures.Path(name), ModelConfig.Load(GoldenFixtures.Path("longcat-flash")));
        Assert.Equal(modules, adapter.Modules.Count);
        Assert.Empty(adapter.SavedModules);
        Assert.Equal(rank, adapter.Config.Rank);
        Assert.Equal(scale, adapter.Modules.Values.First().Scale, 1e-12);
        Assert.Null(adapter.Afa);
        Assert.Equal(name.EndsWith("dora", StringComparison.Ordinal), adapter.Modules.Values.First().Magnitude is not null);

        adapter.Save(folder["copy"]);
        Assert.Equal(["adapter_config.json", "adapter_model.safetensors"], Directory.GetFiles(folder["copy"]).Select(Path.GetFileName).Order());
        foreach (string file in Directory.GetFiles(folder["copy"]))
        {
            Assert.Equal(File.ReadAllBytes(GoldenFixtures.Path(name, Path.GetFileName(file))), File.ReadAllBytes(file));
        }

        using PeftAdapter copy = PeftAdapter.Load(folder["copy"]);
        Assert.Equal(adapter.ContentHash, copy.ContentHash);
    }

    [GoldenTheory]
    [InlineData("longcat-flash-lora")]
    [InlineData("longcat-flash-lora-list")]
    [InlineData("longcat-flash-dora")]
    public void The_targets_of_the_configuration_are_the_modules_of_the_file(string name)
    {
        using PeftAdapter adapter = PeftAdapter.Load(GoldenFixtures.Path(name));
        IReadOnlyList<string> resolved = adapter.Config.Resolve(ModelConfig.Load(GoldenFixtures.Path("longcat-flash")));
        Assert.Equal(adapter.Modules.Keys, resolved.Order(StringComparer.Ordinal));
    }

    [GoldenFact]
    public void Patterns_change_rank_and_scale()
    {
        using PeftAdapter adapter = PeftAdapter.Load(GoldenFixtures.Path("longcat-flash-lora-list"));
        AdapterMatrix output = adapter.Modules["model.layers.0.self_attn.1.o_proj"];
        Assert.Equal((2, 7 / Math.Sqrt(2)), (output.Rank, output.Scale));
        AdapterMatrix latent = adapter.Modules["model.layers.1.self_attn.0.kv_a_proj_with_mqa"];
        Assert.Equal((3, 5 / Math.Sqrt(3)), (latent.Rank, latent.Scale));
    }
}
