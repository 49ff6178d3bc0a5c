using LongCat.ML.Training.Data;

namespace LongCat.ML.Training.FineTuning;

/// <summary>The examples that a run uses, and what became of the others.</summary>
internal sealed record ExampleSelection(IReadOnlyList<TrainingExample> Examples, TokenizedDocuments Documents, ExampleCounts Counts)
{
    /// <summary>Leaves out what has no target or is too long, and checks the ids.</summary>
    public static ExampleSelection Of(IEnumerable<TrainingExample> examples, string what, int vocabulary, FineTuningOptions options)
    {
        var used = new List<TrainingExample>();
        int withoutTarget = 0, truncated = 0, overlong = 0;
        foreach (var example in examples)
        {
            string row = example.Source > 0 ? $"row {example.Source} of the {what} examples" : $"the {what} example after {used.Count} others";
            if (example.Ids.Length != example.Trainable.Length)
            {
                throw new FineTuningException($"{row} has {example.Ids.Length} ids and {example.Trainable.Length} marks of trainable tokens; expected as many of one as of the other");
            }

            foreach (int id in example.Ids)
            {
                if ((uint)id >= (uint)vocabulary)
                {
                    throw new FineTuningException($"{row} holds the token id {id}, expected 0..{vocabulary - 1}: is the tokenizer the model's?");
                }
            }

            var fitting = example;
            if (example.Ids.Length > options.Columns)
            {
                if (options.Overlong == OverlongExamples.Fail)
                {
                    throw new FineTuningException($"{row} has {example.Ids.Length} tokens, a packed row holds {options.Columns}: raise Columns, or truncate or skip such rows");
                }

                if (options.Overlong == OverlongExamples.Skip)
                {
                    overlong++;
                    continue;
                }

                fitting = example.Truncate(options.Columns);
                truncated++;
            }

            // The first two tokens are no target of the draft head.
            if (options.DraftHead ? !fitting.Trainable.AsSpan(Math.Min(2, fitting.Trainable.Length)).Contains(true) : fitting.TrainableTokens == 0)
            {
                withoutTarget++;
                continue;
            }

            used.Add(fitting);
        }

        if (used.Count == 0)
        {
            throw new FineTuningException(
                $"no {what} example is left to use: {withoutTarget} have no trainable token, {overlong} are longer than {options.Columns} tokens; give examples with something to learn");
        }

        var documents = new TokenizedDocuments([.. used.Select(e => e.Ids)], [.. used.Select(e => e.Trainable)]);
        return new ExampleSelection(used, documents, new ExampleCounts
        {
            Train = used.Count,
            WithoutTarget = withoutTarget,
            Truncated = truncated,
            Overlong = overlong,
            Tokens = documents.TokenCount,
            TrainableTokens = used.Sum(e => (long)e.TrainableTokens),
        });
    }
}
