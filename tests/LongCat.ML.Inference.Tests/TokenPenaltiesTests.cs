using LongCat.ML.Inference.Sampling;

namespace LongCat.ML.Inference.Tests;

/// <summary>Penalties against their formulas, alone and in the engine.</summary>
public sealed class TokenPenaltiesTests
{
    [Fact]
    public void Each_row_is_changed_at_the_tokens_of_the_text()
    {
        GenerationOptions options = new() { RepetitionPenalty = 2, PresencePenalty = 0.5f, FrequencyPenalty = 0.25f };
        TokenPenalties penalties = new(options, promptTokens: 2);
        float[] row = [1, -1, 2, -2, 0, 3];

        // The prompt has 0 and 1: repetition alone. The completion has 2 twice and 3 once. 5 is not there.
        List<int> tokens = [0, 1, 2, 3, 2];
        Assert.Equal([0.5f, -2, 1 - 0.5f - 0.5f, -4 - 0.5f - 0.25f, 0, 3], penalties.Apply(row, tokens, []).ToArray());

        // Proposed tokens count as if they were there, and are forgotten again.
        Assert.Equal([0.5f, -2, 1 - 0.5f - 0.75f, -4 - 0.5f - 0.25f, 0, 1.5f - 0.5f - 0.5f], penalties.Apply(row, tokens, [5, 2, 5]).ToArray());
        tokens.Add(0);
        Assert.Equal([0.5f - 0.5f - 0.25f, -2, 1 - 0.5f - 0.5f, -4 - 0.5f - 0.25f, 0, 3], penalties.Apply(row, tokens, []).ToArray());
        Assert.Equal([1, -1, 2, -2, 0, 3], row);
        Assert.False(TokenPenalties.Wanted(new GenerationOptions()));
    }

    [Theory]
    [InlineData(1.5f, 0f, 0f)]
    [InlineData(1f, 1f, 0f)]
    [InlineData(1f, 0f, 0.7f)]
    [InlineData(0.8f, -0.5f, 0.1f)]
    public async Task The_engine_chooses_from_the_changed_rows_and_reports_the_models_own_probabilities(float repetition, float presence, float frequency)
    {
        int[] prompt = [1, 2, 3];
        GenerationOptions options = new() { MaxNewTokens = 40, RepetitionPenalty = repetition, PresencePenalty = presence, FrequencyPenalty = frequency, LogProbabilities = -1 };
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(60, 4), new EngineOptions { MaxSequences = 2, PageSize = 4 }, 60);
        GenerationResult result = await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = options });
        List<int> tokens = [.. prompt];
        foreach ((int id, int i) in result.Ids.Select((id, i) => (id, i)))
        {
            float[] row = ToyModel.Expected(tokens);
            float[] changed = [.. row.Select((logit, token) =>
            {
                int count = tokens.Skip(prompt.Length).Count(one => one == token);
                float value = !tokens.Contains(token) ? logit : logit > 0 ? logit / repetition : logit * repetition;
                return value - (count * frequency) - (count > 0 ? presence : 0);
            })];
            Assert.Equal(Array.IndexOf(changed, changed.Max()), id);
            Assert.Equal(row[id] - LogSoftmax.LogSumExp(row), result.LogProbabilities![i].LogProbability);
            tokens.Add(id);
        }
    }

    [Fact]
    public void Values_out_of_range_are_named()
    {
        Assert.Contains("RepetitionPenalty", Assert.ThrowsAny<ArgumentException>(() => new GenerationOptions { RepetitionPenalty = 0 }.Check()).Message, StringComparison.Ordinal);
        Assert.Contains("RepetitionPenalty", Assert.ThrowsAny<ArgumentException>(() => new GenerationOptions { RepetitionPenalty = float.NaN }.Check()).Message, StringComparison.Ordinal);
        Assert.Contains("PresencePenalty is ", Assert.ThrowsAny<ArgumentException>(() => new GenerationOptions { PresencePenalty = float.PositiveInfinity }.Check()).Message, StringComparison.Ordinal);
        Assert.Contains("FrequencyPenalty is NaN", Assert.ThrowsAny<ArgumentException>(() => new GenerationOptions { FrequencyPenalty = float.NaN }.Check()).Message, StringComparison.Ordinal);
    }
}
