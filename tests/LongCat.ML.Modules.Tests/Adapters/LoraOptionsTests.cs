using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;

namespace LongCat.ML.Modules.Tests.Adapters;

public class LoraOptionsTests
{
    [Fact]
    public void Values_out_of_range_are_named()
    {
        Assert.Contains("LoraOptions.Rank is 0, expected 1 or more", Message(new() { Rank = 0 }), StringComparison.Ordinal);
        Assert.Contains("LoraOptions.Alpha is NaN, expected a positive number", Message(new() { Alpha = double.NaN }), StringComparison.Ordinal);
        Assert.Contains("LoraOptions.Dropout is 1, expected 0 to below 1", Message(new() { Dropout = 1 }), StringComparison.Ordinal);
        Assert.Contains("LoraOptions.RankPattern[o_proj] is -1", Message(new() { RankPattern = new Dictionary<string, int> { ["o_proj"] = -1 } }), StringComparison.Ordinal);
        Assert.Contains("LoraOptions.AlphaPattern[o_proj] is 0", Message(new() { AlphaPattern = new Dictionary<string, double> { ["o_proj"] = 0 } }), StringComparison.Ordinal);
        Assert.Contains("BetaStart is 2", Message(new() { Afa = new() { BetaStart = 2 } }), StringComparison.Ordinal);
    }

    [Fact]
    public void Combinations_that_are_not_exact_are_refused_with_the_reason()
    {
        Assert.Contains("another one before the first step", Message(new() { Initialization = LoraInitialization.Pissa, Afa = new() }), StringComparison.Ordinal);
        Assert.Contains("magnitudes", Message(new() { Initialization = LoraInitialization.FastPissa(), UseDora = true }), StringComparison.Ordinal);
        Assert.Contains("AllowDoraWithAfa", Message(new() { UseDora = true, Afa = new() }), StringComparison.Ordinal);
        new LoraOptions { UseDora = true, Afa = new(), AllowDoraWithAfa = true }.Validate();
        new LoraOptions { Initialization = LoraInitialization.Pissa, Afa = new() { BetaStart = 0 } }.Validate();
    }

    private static string Message(LoraOptions options) => Assert.Throws<ArgumentException>(options.Validate).Message;
}
