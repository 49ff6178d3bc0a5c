using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tests.ZigZag;

public class StreamingSelectionTests
{
    [Theory]
    [InlineData(0.5, new[] { 3, 5 })]
    [InlineData(0.2, new[] { 5 })]
    [InlineData(0.6, new[] { 2, 3, 5 })]
    [InlineData(0.8, new[] { 2, 3, 4, 5 })]
    [InlineData(1.0, new[] { 1, 2, 3, 4, 5 })]
    public void The_lowest_are_chosen_and_of_equal_ones_the_first(double share, int[] expected)
    {
        double[] alphas = [0.9, 0.4, 0.1, 0.4, -0.2];
        Assert.Equal(expected, StreamingSelection.Lowest([.. alphas.Select((alpha, i) => new AttentionAlpha(i + 1, "", alpha))], share));
    }

    [Fact]
    public void Equal_ones_are_taken_by_index() =>
        Assert.Equal([0, 1, 2], StreamingSelection.Lowest([.. Enumerable.Range(0, 6).Select(i => new AttentionAlpha(i, "", 0.5))], 0.5));

    [Theory]
    [InlineData(StreamingChoice.Alternate, 8, 0.5, new[] { 1, 3, 5, 7 })]
    [InlineData(StreamingChoice.Alternate, 7, 0.5, new[] { 1, 3, 5 })]
    [InlineData(StreamingChoice.Alternate, 9, 0.34, new[] { 1, 4, 7 })]
    [InlineData(StreamingChoice.Alternate, 4, 1, new[] { 0, 1, 2, 3 })]
    [InlineData(StreamingChoice.First, 5, 0.4, new[] { 0, 1 })]
    [InlineData(StreamingChoice.Last, 5, 0.4, new[] { 3, 4 })]
    [InlineData(StreamingChoice.First, 10, 0.7, new[] { 0, 1, 2, 3, 4, 5, 6 })]
    public void Other_choices_need_no_alpha(StreamingChoice choice, int candidates, double share, int[] expected) =>
        Assert.Equal(expected, StreamingSelection.Choose([.. Enumerable.Range(0, candidates)], share, choice));

    [Fact]
    public void Chance_follows_the_seed_and_reaches_every_attention()
    {
        int[] candidates = [2, 3, 5, 7, 11, 13];
        HashSet<int> seen = [];
        HashSet<string> sets = [];
        for (ulong seed = 0; seed < 40; seed++)
        {
            var chosen = StreamingSelection.Choose(candidates, 0.5, StreamingChoice.Random, seed);
            Assert.Equal(chosen, StreamingSelection.Choose(candidates, 0.5, StreamingChoice.Random, seed));
            Assert.Equal(3, chosen.Count);
            Assert.Equal(chosen.Order(), chosen);
            seen.UnionWith(chosen);
            sets.Add(string.Join(" ", chosen));
        }

        Assert.Equal(candidates, seen.Order());
        Assert.True(sets.Count > 10);
    }

    [Theory]
    [InlineData(0.0, "the share is 0,")]
    [InlineData(-1.0, "the share is -1,")]
    [InlineData(1.5, "the share is 1.5,")]
    [InlineData(double.NaN, "the share is NaN,")]
    [InlineData(0.2, "which of 4 attentions is less than one: expected 0.25 or more")]
    public void A_share_that_chooses_nothing_is_refused(double share, string expected)
    {
        AttentionAlpha[] alphas = [.. Enumerable.Range(0, 4).Select(i => new AttentionAlpha(i, "", i))];
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => StreamingSelection.Lowest(alphas, share)).Message, StringComparison.Ordinal);
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => StreamingSelection.Choose([0, 1, 2, 3], share, StreamingChoice.First)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_number_and_a_choice_without_calibration_are_refused()
    {
        Assert.Contains("alpha of attention 1 is NaN", Assert.Throws<ArgumentException>(() => StreamingSelection.Lowest([new(0, "", 0), new(1, "", double.NaN)], 0.5)).Message, StringComparison.Ordinal);
        Assert.Contains("Lowest", Assert.Throws<ArgumentException>(() => StreamingSelection.Choose([0, 1], 0.5, StreamingChoice.Lowest)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Candidates_see_all_of_the_context()
    {
        using var folder = new TemporaryFolder();
        RandomDecoder.Write(folder["qwen"], RandomDecoder.Models["Qwen2, window from layer 1"]);
        Assert.Equal([0], StreamingSelection.Candidates(ModelConfig.Load(folder["qwen"])));
        RandomCheckpoint.Write(folder["longcat"], new RandomCheckpointOptions { Layers = 2 });
        ModelConfig config = ModelConfig.Load(folder["longcat"]);
        Assert.Equal([0, 1, 2, 3], StreamingSelection.Candidates(config));
        Assert.Equal([0, 3], StreamingSelection.Candidates(config with { Streaming = new StreamingAttentionConfig { AttentionLayers = [1, 2] } }));
    }
}
