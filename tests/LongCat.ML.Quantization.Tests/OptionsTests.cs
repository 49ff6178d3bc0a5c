namespace LongCat.ML.Quantization.Tests;

public sealed class OptionsTests
{
    [Theory]
    [InlineData(QuantizationRecipe.LongCat, 128, WeightScaling.TwoLevel, true, true)]
    [InlineData(QuantizationRecipe.RoundToNearest, 128, WeightScaling.TwoLevel, false, false)]
    [InlineData(QuantizationRecipe.Fptq, 128, WeightScaling.TwoLevel, true, false)]
    [InlineData(QuantizationRecipe.Odyssey, 0, WeightScaling.PerChannel, true, true)]
    [InlineData(QuantizationRecipe.IntegerScale, 128, WeightScaling.IntegerScale, false, false)]
    public void A_recipe_fills_what_is_left_open(QuantizationRecipe recipe, int group, WeightScaling scaling, bool statistics, bool gram)
    {
        QuantizationOptions options = new QuantizationOptions { Recipe = recipe }.Resolve();
        Assert.Equal((group, scaling, statistics, gram), (options.GroupSize, options.Scaling, options.NeedsStatistics, options.NeedsGram));
        Assert.Equal(options, options.Resolve());
    }

    [Theory]
    [InlineData(QuantizationRecipe.Odyssey, 64, null, 64, WeightScaling.TwoLevel)]
    [InlineData(QuantizationRecipe.LongCat, 0, null, 0, WeightScaling.PerChannel)]
    [InlineData(QuantizationRecipe.LongCat, null, WeightScaling.PerChannel, 0, WeightScaling.PerChannel)]
    [InlineData(QuantizationRecipe.Odyssey, null, WeightScaling.TwoLevelNarrow, 128, WeightScaling.TwoLevelNarrow)]
    public void Group_size_and_scaling_bring_each_other_along(QuantizationRecipe recipe, int? group, WeightScaling? scaling, int expectedGroup, WeightScaling expectedScaling)
    {
        QuantizationOptions options = new QuantizationOptions { Recipe = recipe, GroupSize = group, Scaling = scaling }.Resolve();
        Assert.Equal((expectedGroup, expectedScaling), (options.GroupSize, options.Scaling));
    }

    public static TheoryData<QuantizationOptions, string> Wrong => new()
    {
        { new() { GroupSize = 48 }, "GroupSize is 48, expected a multiple of 32 in 32..256" },
        { new() { GroupSize = 512 }, "GroupSize is 512, expected a multiple of 32 in 32..256" },
        { new() { GroupSize = -32 }, "GroupSize is -32, expected a multiple of 32 in 32..256" },
        { new() { GroupSize = 64, Scaling = WeightScaling.PerChannel }, "GroupSize is 64, expected 0" },
        { new() { GroupSize = 0, Scaling = WeightScaling.TwoLevel }, "GroupSize is 0, expected a multiple of 32" },
        { new() { Amplifier = -1 }, "Amplifier is -1, expected 1..16777216, or 0" },
        { new() { Scaling = (WeightScaling)9 }, "Scaling is 9, expected one of TwoLevel" },
        { new() { Recipe = (QuantizationRecipe)9 }, "Recipe is 9, expected one of LongCat" },
        { new() { StaticThreshold = double.NaN }, "StaticThreshold is NaN" },
        { new() { DynamicThreshold = 3 }, "DynamicThreshold is 3, expected a number of at least StaticThreshold, 15" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_wrong_option_is_named_with_its_value_and_what_is_allowed(QuantizationOptions options, string message)
    {
        Assert.StartsWith(message, Assert.Throws<ArgumentException>(() => options.Resolve()).Message, StringComparison.Ordinal);
    }
}
