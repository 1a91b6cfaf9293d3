"""CoLLM: collaborative vectors as tokens of a language model.

Y. Zhang et al., "CoLLM: Integrating Collaborative Embeddings into Large Language Models for
Recommendation", IEEE TKDE 2025, arXiv:2310.19488. A language model is asked whether a user would
like an item: the prompt names what the user liked and the item by their titles, and holds a soft
token for each of the two,

    [.., e(w_1), .., g(u), .., g(i), .., e(w_n)]    (eq. 4-6)

where e are the model's own embeddings of words, u and i the user's and the item's vectors of a
collaborative model, and g an MLP with one hidden layer. The score is the logit of yes; the loss
over labelled rows its binary cross-entropy. Learned in stages, each of which changes its own
parameters alone:

1. the collaborative model, by itself;
2. LoRA weights of the language model, on prompts without the soft tokens (K. Bao et al., "TALLRec",
   RecSys 2023; ``stages="text"`` ends here);
3. the mapper g, on whole prompts, all else frozen.

With ``stages="joint"`` LoRA and mapper are learned together.

What is otherwise than in the authors' code: the words of the prompt, the item's token stands before
its title and both at the end, so that candidates share what is before them; vectors are brought to
a mean square of 1 before g, and to that of the words' embeddings behind it; and beside causal
models a text encoder serves, with a linear layer for yes and no, learned with LoRA.
"""

from __future__ import annotations
