using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>What lookup proposes after a text.</summary>
public sealed class PromptLookupTests
{
    private readonly SpeculativeCounters _counters = new();

    [Theory]
    [InlineData(3, false, 4, new[] { 1, 2, 3, 4, 5, 1, 2 }, new[] { 3, 4, 5, 1 })]
    [InlineData(3, false, 2, new[] { 1, 2, 3, 4, 5, 1, 2 }, new[] { 3, 4 })]
    [InlineData(3, false, 4, new[] { 1, 2, 7, 1, 2, 8, 9, 1, 2 }, new[] { 8, 9, 1, 2 })]
    [InlineData(3, false, 4, new[] { 1, 2, 1, 2 }, new[] { 1, 2 })]
    [InlineData(3, false, 4, new[] { 6, 6, 6 }, new[] { 6 })]
    [InlineData(4, false, 4, new[] { 1, 2, 7, 3, 2, 7 }, new int[0])]
    [InlineData(3, false, 4, new[] { 5, 6 }, new int[0])]
    [InlineData(3, false, 4, new[] { 5 }, new int[0])]
    [InlineData(2, true, 6, new[] { 1, 2, 3, 1 }, new[] { 2, 3, 1, 2, 3, 1 })]
    [InlineData(3, true, 5, new[] { 6, 6, 6 }, new[] { 6, 6, 6, 6, 6 })]
    [InlineData(3, true, 4, new[] { 1, 2, 3, 1, 2 }, new[] { 3, 1, 2, 3 })]
    [InlineData(3, true, 4, new[] { 9, 1, 2, 3, 4, 1, 2 }, new[] { 3, 4, 1, 2 })]
    public void Proposed_is_what_followed_the_latest_earlier_match(int order, bool chained, int budget, int[] text, int[] expected)
    {
        SpeculativeOptions options = new() { NGramSize = order, NGramChainedLookup = chained };
        GenerationSequence sequence = Sequence(text, options);
        PromptLookupProposer proposer = new(options, _counters);
        proposer.Propose([new DraftSlot(sequence, budget)]);
        Assert.Equal(expected, sequence.Drafts);
        Assert.Equal(text, sequence.Tokens);
        Assert.Equal(
            (expected.Length > 0 ? 1L : 0, expected.Length, chained ? Math.Max(0, expected.Length - 1) : 0),
            (_counters.LookupHits, _counters.LookupTokens, _counters.ChainedTokens));
    }

    [Fact]
    public void A_growing_text_is_looked_up_as_a_whole_one_is()
    {
        Random random = new(4);
        for (int round = 0; round < 100; round++)
        {
            SpeculativeOptions options = new() { NGramSize = random.Next(2, 5), NGramChainedLookup = round % 2 == 0 };
            PromptLookupProposer proposer = new(options, _counters);
            GenerationSequence growing = Sequence([0], options);
            for (int length = 1; length < 60; length++)
            {
                growing.Drafts.Clear();
                proposer.Propose([new DraftSlot(growing, 4)]);
                GenerationSequence whole = Sequence([.. growing.Tokens], options);
                proposer.Propose([new DraftSlot(whole, 4)]);
                Assert.Equal(whole.Drafts, growing.Drafts);

                // The plain search: from the end, for the tokens before each place.
                int key = options.NGramSize - 1;
                int place = growing.Tokens.Count < key ? -1 : Enumerable.Range(key, Math.Max(0, growing.Tokens.Count - key))
                    .LastOrDefault(at => growing.Tokens.GetRange(at - key, key).SequenceEqual(growing.Tokens[^key..]), -1);
                Assert.Equal(place < 0 ? -1 : growing.Tokens[place], growing.Drafts.FirstOrDefault(-1));
                growing.Tokens.Add(random.Next(4));
            }
        }
    }

    [Fact]
    public void Values_out_of_range_are_named()
    {
        (SpeculativeOptions Options, string Name)[] wrong =
        [
            (new() { MaxDraftTokens = 0 }, "MaxDraftTokens is 0"),
            (new() { MaxDraftTokens = 17 }, "MaxDraftTokens is 17"),
            (new() { NGramSize = 1 }, "NGramSize is 1"),
            (new() { NGramSize = 17 }, "NGramSize is 17"),
            (new() { MinAdaptiveK = -1 }, "MinAdaptiveK is -1"),
            (new() { MinAdaptiveK = 17 }, "MinAdaptiveK is 17"),
            (new() { Proposer = (SpeculativeProposer)9 }, "Proposer is 9"),
            (new() { Proposer = SpeculativeProposer.DraftModel }, "DraftFolder names no folder"),
            (new() { Proposer = SpeculativeProposer.DraftModel, DraftFolder = " " }, "DraftFolder names no folder"),
            (new() { DraftFolder = "there" }, "DraftFolder is 'there'"),
        ];
        foreach ((SpeculativeOptions options, string name) in wrong)
        {
            Assert.Contains(name, Assert.ThrowsAny<ArgumentException>(() => new EngineOptions { Speculation = options }.Check()).Message, StringComparison.Ordinal);
        }

        new EngineOptions { Speculation = new() { MaxDraftTokens = 16, NGramSize = 0, MinAdaptiveK = 16 } }.Check();
    }

    private GenerationSequence Sequence(int[] text, SpeculativeOptions options) =>
        new(text, new GenerationOptions(), new GenerationLimits(100, []), null, new Sampler(), null, null, -1, default) { Speculation = new DraftState(options, _counters) };
}
