namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>What an adapter says of the weights it was trained on, and what follows for merging it.</summary>
public class TrainingBaseTests
{
    private static readonly PeftConfig Config = new() { Rank = 2, Alpha = 4, Targets = AdapterTargets.Names("q_a_proj") };

    [Theory]
    [InlineData(null)]
    [InlineData(WeightPrecision.BF16)]
    [InlineData(WeightPrecision.W4A8)]
    public void It_is_kept_beside_the_files_of_the_adapter(WeightPrecision? weights)
    {
        using CheckpointFolder folder = new();
        using PeftAdapter adapter = Adapter(weights);
        adapter.Save(folder.File("a"));
        Assert.Equal(weights is not null, File.Exists(folder.File("a/training_base.json")));
        using PeftAdapter read = PeftAdapter.Load(folder.File("a"));
        Assert.Equal(weights, read.TrainedOn);
        Assert.Equal(weights, read.For(RandomAdapter.Flash).TrainedOn);

        // It says where the values come from, not what they compute.
        using PeftAdapter plain = Adapter(null);
        Assert.Equal(plain.ContentHash, read.ContentHash);
        Assert.Equal(weights is WeightPrecision.W4A8, AdapterSummary.Of(read).ToText().Contains("trained on  w4a8 weights: merged into others on request only", StringComparison.Ordinal));

        // An adapter of other weights takes its place whole.
        plain.Save(folder.File("a"));
        Assert.False(File.Exists(folder.File("a/training_base.json")));
    }

    [Theory]
    [InlineData("{", "not valid JSON")]
    [InlineData("[]", "holds no JSON object")]
    [InlineData("{\"weights\": \"w4a8\"}", "format_version")]
    [InlineData("{\"format_version\": 2, \"weights\": \"w4a8\"}", "format_version is 2; this version of LongCat.ML reads 1")]
    [InlineData("{\"format_version\": 1}", "weights is missing, expected one of f32, bf16, int4, w4a8")]
    [InlineData("{\"format_version\": 1, \"weights\": \"q4\"}", "weights is q4, expected one of")]
    [InlineData("{\"format_version\": 1, \"weights\": \"w4a8\", \"weights\": \"f32\"}", "not valid JSON")]
    public void A_malformed_file_is_named(string content, string expected)
    {
        using CheckpointFolder folder = new();
        using PeftAdapter adapter = Adapter(null);
        adapter.Save(folder.File("a"));
        folder.Write("a/training_base.json", content);
        AdapterException e = Assert.Throws<AdapterException>(() => PeftAdapter.Load(folder.File("a")));
        Assert.Contains("training_base.json", e.Message);
        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public void Quantized_weights_are_those_that_refuse()
    {
        foreach (WeightPrecision? weights in (WeightPrecision?[])[null, WeightPrecision.F32, WeightPrecision.BF16])
        {
            using PeftAdapter adapter = Adapter(weights);
            adapter.RequireUnquantizedBase();
        }

        using PeftAdapter quantized = Adapter(WeightPrecision.W4A8);
        string message = Assert.Throws<AdapterException>(quantized.RequireUnquantizedBase).Message;
        Assert.Contains("was trained on w4a8 weights", message);
        Assert.Contains("longcat quantize --adapter", message);
        Assert.Contains("--onto-unquantized", message);
        Assert.Throws<AdapterException>(() => Adapter((WeightPrecision)9));
    }

    [Fact]
    public void A_sum_has_the_quantized_base_of_its_parts()
    {
        using PeftAdapter plain = Adapter(null), quantized = Adapter(WeightPrecision.W4A8), narrow = Adapter(WeightPrecision.BF16);
        Assert.Equal(WeightPrecision.W4A8, PeftAdapter.Combine([(plain, 1), (quantized, 1), (narrow, 1)]).TrainedOn);
        Assert.Equal(WeightPrecision.BF16, PeftAdapter.Combine([(narrow, 1), (narrow, 1)]).TrainedOn);
        Assert.Null(PeftAdapter.Combine([(plain, 1), (narrow, 1)]).TrainedOn);
    }

    private static PeftAdapter Adapter(WeightPrecision? weights)
    {
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, Config, Config.Resolve(RandomAdapter.Flash));
        return PeftAdapter.Create(Config, adapter.Modules.Values, trainedOn: weights);
    }
}
