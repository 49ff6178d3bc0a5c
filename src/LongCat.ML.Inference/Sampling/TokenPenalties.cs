using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Sampling;

/// <summary>
/// Lowers (or raises) the logits of tokens that a request has already: repetition (CTRL, arXiv 1909.05858, section 4.1) over prompt and completion, presence and frequency over the completion.
/// Counts grow with the text, so a row is changed only at the tokens that occurred. Belongs to one request.
/// </summary>
/// <param name="options">The penalties.</param>
/// <param name="promptTokens">Where the completion begins.</param>
internal sealed class TokenPenalties(GenerationOptions options, int promptTokens)
{
    // Every token of the text, with how often the completion has it: 0 for those of the prompt alone.
    private readonly Dictionary<int, int> _counts = [];
    private float[] _row = [];
    private int _counted;

    /// <summary>Whether the options ask for any.</summary>
    public static bool Wanted(GenerationOptions options) => options.RepetitionPenalty != 1 || options.PresencePenalty != 0 || options.FrequencyPenalty != 0;

    /// <summary>A row of logits with the penalties of the tokens before it.</summary>
    /// <param name="row">The model's logits, [V].</param>
    /// <param name="tokens">The request's tokens; they only grow from call to call.</param>
    /// <param name="proposed">Tokens supposed to follow them.</param>
    /// <returns>[V], valid until the next call.</returns>
    public ReadOnlySpan<float> Apply(ReadOnlySpan<float> row, List<int> tokens, ReadOnlySpan<int> proposed)
    {
        for (; _counted < tokens.Count; _counted++)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(_counts, tokens[_counted], out _) += _counted < promptTokens ? 0 : 1;
        }

        if (_row.Length != row.Length)
        {
            _row = new float[row.Length];
        }

        row.CopyTo(_row);
        foreach ((int id, int count) in _counts)
        {
            _row[id] = Penalized(row[id], count);
        }

        foreach (int id in proposed)
        {
            _row[id] = Penalized(row[id], _counts.GetValueOrDefault(id) + proposed.Count(id));
        }

        return _row;
    }

    private float Penalized(float logit, int count)
    {
        float repeated = logit > 0 ? logit / options.RepetitionPenalty : logit * options.RepetitionPenalty;
        return repeated - (count * options.FrequencyPenalty) - (count > 0 ? options.PresencePenalty : 0);
    }
}
