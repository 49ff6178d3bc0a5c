using System.Text;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Constraints;
using LongCat.ML.Inference.Constraints.Schemas;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference;

/// <summary>
/// What a completion may look like: at every token only those are drawn that some allowed text goes on with, so the completion is allowed whatever the model prefers, unless
/// <see cref="GenerationOptions.MaxNewTokens"/> cuts it off. It ends by itself where nothing may follow.
/// </summary>
/// <remarks>
/// Compiled for one byte-level tokenizer; thread-safe and meant to be kept: what it computed for one request serves the next. A state that was never met before costs a walk over the
/// vocabulary's bytes. Log-probabilities stay those of the model's own distribution.
/// </remarks>
public sealed class OutputConstraint
{
    private readonly ConstraintAutomaton _automaton;
    private readonly Term _start;

    private OutputConstraint(ConstraintAutomaton automaton, Term start)
    {
        (_automaton, _start) = (automaton, start);
        Start = new ConstraintState(automaton, start);
    }

    /// <summary>The tokenizer that it was compiled for; an engine takes constraints of its own <see cref="InferenceEngine.Tokenizer"/> only.</summary>
    public HuggingFaceTokenizer Tokenizer => _automaton.Tokens.Tokenizer;

    /// <summary>Where a completion begins.</summary>
    internal ConstraintState Start { get; }

    /// <summary>Any JSON object.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <returns>The constraint.</returns>
    /// <exception cref="InferenceException">The tokenizer's tokens are characters, not bytes.</exception>
    public static OutputConstraint Json(HuggingFaceTokenizer tokenizer) => Create(tokenizer, SchemaCompiler.AnyObject);

    /// <summary>JSON that satisfies a schema.</summary>
    /// <param name="schema">
    /// A schema of draft 2020-12 with <c>type</c>, <c>enum</c>, <c>const</c>, <c>anyOf</c>, <c>oneOf</c> (of different types), <c>allOf</c> (of one), <c>$ref</c> (within the schema, to
    /// itself too), <c>properties</c>, <c>required</c>, <c>additionalProperties</c>, <c>items</c>, <c>prefixItems</c>, <c>minItems</c>, <c>maxItems</c>, <c>minLength</c>, <c>maxLength</c>,
    /// <c>pattern</c> (without lookaround, back references and word boundaries), <c>format</c> (date-time, date, time, uuid), <c>minimum</c>, <c>maximum</c>, <c>exclusiveMinimum</c>,
    /// <c>exclusiveMaximum</c> and <c>multipleOf</c> (a whole number, or a fraction such as 0.25 of at most fifteen digits). What <c>minLength</c>, <c>maxLength</c>, <c>pattern</c> and
    /// <c>format</c> say of one text holds together. Declared properties are written in their order; others only where
    /// <c>additionalProperties</c> allows them in so many words, or nothing is declared.
    /// </param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <returns>The constraint.</returns>
    /// <exception cref="InferenceException">
    /// The schema is malformed, uses a keyword that is not supported (the message has its place), or accepts nothing; or the tokenizer's tokens are characters, not bytes.
    /// </exception>
    public static OutputConstraint JsonSchema(JsonElement schema, HuggingFaceTokenizer tokenizer) => Create(tokenizer, pool => SchemaCompiler.Compile(pool, schema));

    /// <summary>The same, behind free text that a mark ends: the thoughts of a model, which nothing constrains. Up to eight characters of white space may follow the mark.</summary>
    /// <param name="mark">The mark, such as <c>&lt;/think&gt;</c>; not empty.</param>
    /// <returns>A constraint that shares what this one computed.</returns>
    public OutputConstraint After(string mark)
    {
        ArgumentException.ThrowIfNullOrEmpty(mark);
        return new OutputConstraint(_automaton, _automaton.Make(pool => pool.Until(
            Encoding.UTF8.GetBytes(mark), 0, token: null, pool.Sequence(pool.Repeat(pool.AnyOf(" \n\r\t"), 0, 8), _start))));
    }

    /// <summary>A constraint of terms.</summary>
    internal static OutputConstraint Create(HuggingFaceTokenizer tokenizer, Func<TermPool, Term> compile)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ConstraintAutomaton automaton = new(TokenTable.Of(tokenizer), new TermPool());
        return new OutputConstraint(automaton, automaton.Make(compile));
    }
}
